"""Writes in groups: what comes while one group is being committed is the next group, one piece of work together."""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from sqlalchemy import Connection

from hub.store.database import Database, Overloaded, Unavailable, Work

GROUP: Final = 500
WAITING: Final = 20_000
AGAIN_SECONDS: Final = 1.0
AWAY: Final = (Overloaded, Unavailable)
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _Entry(NamedTuple, Generic[Item, Answer]):
    item: Item
    answer: "asyncio.Future[Answer]"
    insists: bool


class Grouped(Generic[Item, Answer]):
    """`work` makes of some items the work that stores them in turn, and gives an answer or an exception for each.

    The next group is taken when the database turns to it, on its thread: that never waits for the event loop.
    """

    def __init__(self, db: Database, work: Callable[[Sequence[Item]], Work[Sequence[Answer | Exception]]]) -> None:
        self._db = db
        self._work = work
        self._waiting: deque[_Entry[Item, Answer]] = deque()
        self._asked = False  # the database has been asked to take what is waiting, and has not begun to
        self._held: set[object] = set()  # groups that failed: what came later waits until each of them was tried
        self._taken: dict[object, int] = {}  # groups of which is not told how they went: the failures before each
        self._tasks: set[asyncio.Task[None]] = set()

    async def store(self, item: Item, *, insist: bool = False) -> Answer:
        """The answer, when it is on disk. Raises the item's own exception, Overloaded or Unavailable.

        With `insist` neither of these two: it is tried again while the database is away, and what comes later waits.
        """
        if len(self._waiting) >= WAITING and not insist:
            raise Overloaded("too many writes are waiting")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Entry(item, answer, insist))
        self._ask()
        return await answer

    def _ask(self) -> None:
        if self._waiting and not self._asked and not self._held and (self._db.in_turn or not self._tasks):
            self._asked = True
            task = asyncio.create_task(self._store_some())
            self._tasks.add(task)
            task.add_done_callback(self._stored_some)

    def _stored_some(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._ask()

    async def _store_some(self) -> None:
        group: list[_Entry[Item, Answer]] = []
        begun, mine = False, object()

        def work(conn: Connection) -> Sequence[Answer | Exception]:
            nonlocal begun
            begun, self._asked = True, False  # before it is taken: what comes from now on asks again
            failures = self._db.failures
            if not self._held and all(before == failures for before in list(self._taken.values())):
                self._take(group, GROUP)
                self._taken[mine] = failures
            try:
                return self._work([entry.item for entry in group])(conn) if group else ()
            except Exception:
                self._held.add(mine)
                raise

        try:
            answers = await self._db.write(work)
        except Exception as error:
            self._held.add(mine)
            self._taken.pop(mine, None)
            if not begun:
                self._asked = False
            away = isinstance(error, AWAY)
            if not begun or (away and any(entry.insists for entry in group)):
                self._take(group, math.inf)
            if away:
                await self._put_back(group, error)
            elif len(group) == 1:
                _tell(group, [error])
            else:
                await self._store_each(group)
            self._held.discard(mine)
        else:
            self._taken.pop(mine, None)
            _tell(group, answers)

    def _take(self, group: "list[_Entry[Item, Answer]]", most: float) -> None:
        with contextlib.suppress(IndexError):  # there are no more
            while len(group) < most:
                group.append(self._waiting.popleft())

    async def _store_each(self, group: "list[_Entry[Item, Answer]]") -> None:
        """One that cannot be stored takes no other with it."""
        for number, entry in enumerate(group):
            try:
                _tell([entry], await self._db.write(self._work([entry.item])))
            except AWAY as error:
                await self._put_back(group[number:], error)
                return
            except Exception as error:
                _tell([entry], [error])

    async def _put_back(self, group: "list[_Entry[Item, Answer]]", error: Exception) -> None:
        """Those that insist are the first again, after a pause; the others are told."""
        again = [entry for entry in group if entry.insists and not entry.answer.done()]
        others = [entry for entry in group if not entry.insists]
        _tell(others, [error] * len(others))
        if again:
            self._waiting.extendleft(reversed(again))
            await asyncio.sleep(AGAIN_SECONDS)


def _tell(group: "Sequence[_Entry[Item, Answer]]", answers: Sequence[Answer | Exception]) -> None:
    for entry, answer in zip(group, answers, strict=True):
        if entry.answer.done():
            continue
        if isinstance(answer, Exception):
            entry.answer.set_exception(answer)
        else:
            entry.answer.set_result(answer)
