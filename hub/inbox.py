"""Messages in hand: taken side by side, acknowledged in the order in which they came (MQTT 3.1.1, 4.6).

A broker sends what was not acknowledged again to the next connection, so nothing that it holds is lost with the hub.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

import aiomqtt

IN_HAND: Final = 2_000
"""So many are worked on at once; those behind them wait their turn."""


class Arrivals(asyncio.Queue[aiomqtt.Message]):
    """What came and is not in hand yet: `most` messages that nobody sends again, `refused` is told of each above that.

    Of those that are to be acknowledged brokers send some ahead (Mosquitto 2.0.11 thousands): twice as many find room,
    and `left` says that there were more, which the broker sends again to the next connection.
    """

    def __init__(self, most: int, refused: Callable[[], object]) -> None:
        super().__init__()
        self.left = False
        self._most = most
        self._refused = refused

    def put_nowait(self, item: aiomqtt.Message) -> None:
        if self.qsize() < (self._most if item.qos == 0 else 2 * self._most):
            super().put_nowait(item)
        elif item.qos == 0:
            self._refused()
        else:
            self.left = True


class _Entry(NamedTuple):
    acknowledge: Callable[[], object]
    work: asyncio.Task[None] | None


class Inbox:
    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    async def add(self, acknowledge: Callable[[], object], work: Coroutine[Any, Any, None] | None) -> None:
        """Begin `work` (None: it is done) and acknowledge in turn; returns when there is room for one more."""
        if work is None and not self._entries:
            acknowledge()
            return
        task = asyncio.create_task(work) if work is not None else None
        self._entries.append(_Entry(acknowledge, task))
        if task is not None:
            task.add_done_callback(self._settle)
        while len(self._entries) >= IN_HAND:
            await self._first()

    async def finish(self) -> None:
        """Return when nothing is in hand."""
        while self._entries:
            await self._first()

    def abandon(self) -> None:
        """Leave what is in hand to the broker, which has no acknowledgement of it."""
        entries, self._entries = self._entries, deque()
        for entry in entries:
            if entry.work is not None:
                entry.work.cancel()

    async def _first(self) -> None:
        work = self._entries[0].work
        if work is not None:
            await asyncio.wait({work})
        self._settle()

    def _settle(self, _: object = None) -> None:
        while self._entries and ((work := self._entries[0].work) is None or work.done()):
            self._entries.popleft().acknowledge()
