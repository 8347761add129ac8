"""A database of which is known whether it takes writes; that it answers reads says nothing of that (a full disk)."""

import asyncio
import time
from typing import Final, TypeVar

from sqlalchemy import Connection, delete, insert

from hub.ids import now_ms
from hub.store.database import Database, Overloaded, Unavailable, Work
from hub.store.tables import nonces

T = TypeVar("T")
LATELY_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 2.0
PART: Final = "database"
TROUBLE: Final = "it takes no writes; the log says why"
ROW: Final = "a try whether the database takes writes"
"""No nonce of a signature has blanks."""


class Watched:
    """`problems` has the database from when a write fails until, a while after the last failure, one was tried well."""

    def __init__(self, db: Database, problems: dict[str, str]) -> None:
        self._db = db
        self._problems = problems
        self._failed_at = self._good_at = -AGAIN_SECONDS
        self._trying: asyncio.Task[bool] | None = None
        self._again: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        return self._db.queued

    @property
    def in_turn(self) -> bool:
        return self._db.in_turn

    @property
    def failures(self) -> int:
        return self._db.failures

    async def read(self, work: Work[T]) -> T:
        return await self._db.read(work)

    async def write(self, work: Work[T]) -> T:
        try:
            return await self._db.write(work)
        except Unavailable:
            self._failed_at = time.monotonic()
            self._problems[PART] = TROUBLE
            if self._again is None:
                self._again = asyncio.create_task(self._until_well())
            raise

    async def writable(self) -> bool:
        """Whether a write that was tried within a second, or now, is on disk; and none of the others failed lately."""
        if PART in self._problems:
            return False
        if time.monotonic() - self._good_at < LATELY_SECONDS:
            return True
        if self._trying is None:
            self._trying = asyncio.create_task(self._try())
        return await asyncio.shield(self._trying)

    async def close(self) -> None:
        tasks = [task for task in (self._again, self._trying) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._db.close()

    async def _try(self) -> bool:
        try:
            await self.write(_a_row)
        except (Overloaded, Unavailable):
            return False
        finally:
            self._trying = None
        self._good_at = time.monotonic()
        return True

    async def _until_well(self) -> None:
        while PART in self._problems:
            await asyncio.sleep(AGAIN_SECONDS)
            # Others may fail where so small a write does not.
            if time.monotonic() - self._failed_at >= AGAIN_SECONDS and await self._try():
                self._problems.pop(PART)
        self._again = None


def _a_row(conn: Connection) -> None:
    """A real write that leaves nothing behind."""
    conn.execute(insert(nonces).values(nonce=ROW, used_at=now_ms()))
    conn.execute(delete(nonces).where(nonces.c.nonce == ROW))
