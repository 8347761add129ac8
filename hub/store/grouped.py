"""Writes in groups: what comes while one group is being committed is the next group, one piece of work together."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection

from hub.store.database import Database, Overloaded, Unavailable, Work

GROUP: Final = 500
WAITING: Final = 20_000
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Grouped(Generic[Item, Answer]):
    """`work` makes of some items the work that stores them in turn, and gives an answer or an exception for each.

    The next group is taken when the database turns to it, on its thread: that never waits for the event loop.
    """

    def __init__(self, db: Database, work: Callable[[Sequence[Item]], Work[Sequence[Answer | Exception]]]) -> None:
        self._db = db
        self._work = work
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._asked = False  # the database has been asked to take what is waiting, and has not begun to
        self._held = False  # a group failed: what came later waits until each of it was tried
        self._tasks: set[asyncio.Task[None]] = set()

    async def store(self, item: Item) -> Answer:
        """The answer, when it is on disk. Raises the item's own exception, Overloaded or Unavailable."""
        if len(self._waiting) >= WAITING:
            raise Overloaded("too many writes are waiting")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._ask()
        return await future

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
        group: list[tuple[Item, asyncio.Future[Answer]]] = []
        begun = False

        def work(conn: Connection) -> Sequence[Answer | Exception]:
            nonlocal begun
            begun, self._asked = True, False  # before it is taken: what comes from now on asks again
            while self._waiting and len(group) < GROUP and not self._held:
                group.append(self._waiting.popleft())
            try:
                return self._work([item for item, _ in group])(conn) if group else ()
            except Exception:
                self._held = True
                raise

        try:
            _tell(group, await self._db.write(work))
        except Exception as error:
            if not begun:
                self._asked = False
                group.extend(self._waiting)
                self._waiting.clear()
            if len(group) == 1 or isinstance(error, Overloaded | Unavailable):
                _tell(group, [error] * len(group))
            else:
                for entry in group:  # one that cannot be stored takes no other with it
                    await self._store_alone(entry)
            self._held = False

    async def _store_alone(self, entry: "tuple[Item, asyncio.Future[Answer]]") -> None:
        try:
            _tell([entry], await self._db.write(self._work([entry[0]])))
        except Exception as error:
            _tell([entry], [error])


def _tell(group: Sequence["tuple[Item, asyncio.Future[Answer]]"], answers: Sequence[Answer | Exception]) -> None:
    for (_, future), answer in zip(group, answers, strict=True):
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
