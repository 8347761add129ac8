"""Writes in groups: what comes while one group is being committed is the next group, one piece of work together."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from hub.store.database import Database, Overloaded, Work

GROUP: Final = 500
WAITING: Final = 20_000
Item = TypeVar("Item")


class Grouped(Generic[Item]):
    """`work` makes of some items the work that stores them, and tells of each whether it was new."""

    def __init__(self, db: Database, work: Callable[[Sequence[Item]], Work[list[bool]]]) -> None:
        self._db = db
        self._work = work
        self._waiting: list[tuple[Item, asyncio.Future[bool]]] = []
        self._storing: asyncio.Task[None] | None = None

    async def store(self, item: Item) -> bool:
        """Return when it is on disk; False when it was there. Raises Overloaded or Unavailable."""
        if len(self._waiting) >= WAITING:
            raise Overloaded("too many writes are waiting")
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
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

    async def _store_group(self, group: Sequence[tuple[Item, "asyncio.Future[bool]"]]) -> None:
        try:
            fresh = await self._db.write(self._work([item for item, _ in group]))
        except Exception as error:
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), new in zip(group, fresh, strict=True):
            if not future.done():
                future.set_result(new)
