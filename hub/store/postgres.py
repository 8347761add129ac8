"""PostgreSQL through asyncpg: the same functions of a connection, each in a transaction of its own."""

import asyncio
import functools
from typing import Any, Final, TypeVar

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import create_async_engine

from hub.store.database import Overloaded, Unavailable, Work
from hub.store.migrate import upgrade

T = TypeVar("T")
CONNECTIONS: Final = 10
WAITING: Final = 20_000
MIGRATION_LOCK: Final = 7_210_421
NOT_THERE: Final = ("53", "57", "58", "25006")
"""How its codes begin when a disk is full, somebody intervenes, the system fails, or it may only be read."""
ROLLED_BACK: Final = "40"
"""Two writes stood in each other's way (a deadlock), and this one was taken back: the same again is well."""


class PostgresDatabase:
    def __init__(self, url: str) -> None:
        # asyncpg reads the URL, which knows libpq's words (sslmode); SQLAlchemy does not.
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=functools.partial(asyncpg.connect, url),
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_pre_ping=True,
            pool_timeout=30,
            hide_parameters=True,  # hashes and tokens of devices, in messages that are logged
        )
        self._waiting = 0
        self._writes: set[asyncio.Future[Any]] = set()
        self._closed = False

    @classmethod
    async def open(cls, url: str) -> "PostgresDatabase":
        self = cls(url)

        def migrate(conn: Connection) -> None:
            conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            upgrade(conn)

        try:
            async with self._engine.begin() as conn:
                await conn.run_sync(migrate)
        except (OSError, DBAPIError) as error:
            await self._engine.dispose()
            raise Unavailable(f"PostgreSQL cannot be reached: {_told(error)}") from error
        return self

    @property
    def queued(self) -> int:
        return self._waiting

    @property
    def in_turn(self) -> bool:
        return False

    @property
    def failures(self) -> int:
        return 0

    async def write(self, work: Work[T]) -> T:
        if self._closed:
            raise Unavailable("the database is closed")
        if self._waiting >= WAITING:
            raise Overloaded("too many writes are waiting")
        # A caller that goes away must not leave a transaction half done on a shared connection.
        task = asyncio.ensure_future(self._run(work))
        self._writes.add(task)
        task.add_done_callback(self._forget)
        await asyncio.wait({task})
        return task.result()

    async def read(self, work: Work[T]) -> T:
        if self._closed:
            raise Unavailable("the database is closed")
        return await self._run(work)

    async def close(self) -> None:
        """Finish the writes that are begun, then close."""
        self._closed = True
        if self._writes:
            await asyncio.wait(self._writes)
        await self._engine.dispose()

    async def _run(self, work: Work[T]) -> T:
        self._waiting += 1
        try:
            async with self._engine.begin() as conn:
                result: Any = await conn.run_sync(work)
                return result  # type: ignore[no-any-return]
        except (OSError, InterfaceError, OperationalError, PoolTimeout) as error:
            raise Unavailable(_told(error)) from error
        except DBAPIError as error:
            code = str(getattr(error.orig, "sqlstate", None) or "")
            if error.connection_invalidated or code.startswith(NOT_THERE):
                raise Unavailable(_told(error)) from error
            if code.startswith(ROLLED_BACK):
                raise Overloaded(_told(error)) from error
            raise
        finally:
            self._waiting -= 1

    def _forget(self, task: "asyncio.Future[Any]") -> None:
        self._writes.discard(task)
        if not task.cancelled():
            task.exception()


def _told(error: Exception) -> str:
    """What the database said of it, without the statement."""
    return str(getattr(error, "orig", error))
