"""Writes in groups: what comes while one group is being committed is the next group, one piece of work together."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from hub.store.database import Database, Overloaded, Unavailable, Work

GROUP: Final = 500
WAITING: Final = 20_000
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Grouped(Generic[Item, Answer]):
    """`work` makes of some items the work that stores them in turn, and gives an answer or an exception for each."""

    def __init__(self, db: Database, work: Callable[[Sequence[Item]], Work[Sequence[Answer | Exception]]]) -> None:
        self._db = db
        self._work = work
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._storing: asyncio.Task[None] | None = None

    async def store(self, item: Item) -> Answer:
        """The answer, when it is on disk. Raises the item's own exception, Overloaded or Unavailable."""
        if len(self._waiting) >= WAITING:
            raise Overloaded("too many writes are waiting")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_all())
        return await future

    async def _store_all(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
                await self._store_group(group)
        finally:
            self._storing = None

    async def _store_group(self, group: Sequence[tuple[Item, "asyncio.Future[Answer]"]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._db.write(self._work([item for item, _ in group]))
        except Exception as error:
            if len(group) > 1 and not isinstance(error, Overloaded | Unavailable):
                for entry in group:  # one that cannot be stored takes no other with it
                    await self._store_group([entry])
                return
            answers = [error] * len(group)
        for (_, future), answer in zip(group, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
