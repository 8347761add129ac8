"""SQLite: WAL, one writer thread with group commit, a pool of readers."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from hub.store.database import Overloaded, Unavailable, Work
from hub.store.migrate import upgrade

T = TypeVar("T")
GROUP: Final = 256
WAITING: Final = 20_000
READERS: Final = 4
NOT_THERE: Final = (OperationalError, sqlite3.OperationalError)
"""The disk is full, the file is locked: nothing that the work could help."""
DAMAGED: Final = (DatabaseError, sqlite3.DatabaseError)
"""Themselves, not what is derived of them: the file is no database, or is not whole."""
Job = tuple[Work[Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


def engine(url: str, *, begin: str) -> Engine:
    """An engine that begins its transactions itself: `BEGIN IMMEDIATE` takes the lock before the first read."""
    made = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=READERS,
        connect_args={"check_same_thread": False},
        hide_parameters=True,  # hashes and tokens of devices, in messages that are logged
    )

    @event.listens_for(made, "connect")
    def _connect(raw: sqlite3.Connection, _: Any) -> None:
        raw.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(made, "begin")
    def _begin(conn: Connection) -> None:
        conn.connection.cursor().execute(begin)

    return made


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


class SqliteDatabase:
    def __init__(self, url: str) -> None:
        self._writer_engine = engine(url, begin="BEGIN IMMEDIATE")
        self._reader_engine = engine(url, begin="BEGIN")
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(READERS, "db-reader")
        self._writing: Connection
        self._writer = threading.Thread(target=self._run, name="db-writer", daemon=True)
        self._closed = False
        self._failures = 0

    @classmethod
    async def open(cls, url: str) -> "SqliteDatabase":
        """Raises Unavailable."""
        path = path_of(url)
        self = cls(url)

        def migrate() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            # For the hub alone: the hashes in it are what devices sign with.
            path.touch(0o600)
            with self._writer_engine.begin() as conn:
                upgrade(conn)
            self._writing = self._writer_engine.connect()

        try:
            await asyncio.to_thread(migrate)
        except Exception as error:
            if not isinstance(error, OSError) and not _not_there(error):
                raise
            raise Unavailable(f"SQLite cannot open {path}: {getattr(error, 'orig', error)}") from error
        self._writer.start()
        return self

    @property
    def queued(self) -> int:
        return self._jobs.qsize()

    @property
    def in_turn(self) -> bool:
        return True

    @property
    def failures(self) -> int:
        return self._failures

    async def write(self, work: Work[T]) -> T:
        if self._closed:
            raise Unavailable("the database is closed")
        if self._jobs.qsize() >= WAITING:
            raise Overloaded("too many writes are waiting")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((work, loop, future))
        return await future

    async def read(self, work: Work[T]) -> T:
        def run() -> T:
            try:
                with self._reader_engine.connect() as conn:
                    return work(conn)
            except Exception as error:
                if not _not_there(error):
                    raise
                raise Unavailable(str(getattr(error, "orig", error))) from error

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    async def close(self) -> None:
        """Commit what is waiting, then close."""
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._writer.join)
        self._readers.shutdown()
        self._writing.close()
        self._writer_engine.dispose()
        self._reader_engine.dispose()

    def _run(self) -> None:
        last = False
        while not last:
            batch = [self._jobs.get()]
            while len(batch) < GROUP and self._jobs.qsize():
                batch.append(self._jobs.get())
            last = None in batch
            jobs = [job for job in batch if job is not None]
            if jobs:
                _answer(jobs, self._commit(jobs))

    def _commit(self, jobs: list[Job]) -> list[tuple[bool, Any]]:
        conn = self._writing
        try:
            with conn.begin():
                if len(jobs) == 1:
                    return [(True, jobs[0][0](conn))]
                return [_attempt(conn, work) for work, _, _ in jobs]
        except Exception as error:
            self._failures += 1
            with contextlib.suppress(sqlite3.Error, SQLAlchemyError):
                conn.connection.rollback()  # SQLAlchemy leaves a transaction open that it could not commit
            mine = len(jobs) == 1 and not _not_there(error)
            return [(False, error if mine else Unavailable(str(getattr(error, "orig", error))))] * len(jobs)


def _not_there(error: Exception) -> bool:
    return isinstance(error, NOT_THERE) or type(error) in DAMAGED


def _attempt(conn: Connection, work: Work[Any]) -> tuple[bool, Any]:
    try:
        with conn.begin_nested():
            return True, work(conn)
    except Exception as error:
        if _not_there(error):
            raise
        return False, error


def _answer(jobs: list[Job], results: list[tuple[bool, Any]]) -> None:
    def resolve(pairs: list[tuple["asyncio.Future[Any]", tuple[bool, Any]]]) -> None:
        for future, (good, value) in pairs:
            if future.cancelled():
                continue
            if good:
                future.set_result(value)
            else:
                future.set_exception(value)

    loops: dict[asyncio.AbstractEventLoop, list[Any]] = {}
    for (_, loop, future), result in zip(jobs, results, strict=True):
        loops.setdefault(loop, []).append((future, result))
    for loop, pairs in loops.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(resolve, pairs)
