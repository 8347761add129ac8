"""Messages in hand: taken side by side, acknowledged in the order in which they came (MQTT 3.1.1, 4.6).

A broker sends what was not acknowledged again to the next connection, so nothing that it holds is lost with the hub.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

IN_HAND: Final = 2_000
"""So many are worked on at once; those behind them wait their turn."""


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

    async def _first(self) -> None:
        work = self._entries[0].work
        if work is not None:
            await asyncio.wait({work})
        self._settle()

    def _settle(self, _: object = None) -> None:
        while self._entries and ((work := self._entries[0].work) is None or work.done()):
            self._entries.popleft().acknowledge()
