"""One interface to both databases: work is a plain function of a SQLAlchemy connection, run in one transaction.

`write` returns after the commit is on disk. SQLite has a single writer whose thread commits all the work that is
waiting in one transaction (each piece in a savepoint of its own), and readers that never block it; PostgreSQL runs
the same functions through asyncpg.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
Work = Callable[[Connection], T]


class Overloaded(Exception):
    """More writes are waiting than may wait, or they stood in each other's way; try again shortly."""


class Unavailable(Exception):
    """The database cannot be reached."""


class Database(Protocol):
    async def write(self, work: Work[T]) -> T:
        """Run work in a transaction and commit it durably. Raises what work raises, Overloaded or Unavailable."""
        ...

    async def read(self, work: Work[T]) -> T:
        """Run work that only reads. Raises what work raises or Unavailable."""
        ...

    @property
    def queued(self) -> int:
        """Writes that are waiting."""
        ...

    @property
    def in_turn(self) -> bool:
        """Whether one write begins after the other has ended, in the order in which they were asked for."""
        ...

    @property
    def failures(self) -> int:
        """Where writes begin in turn: how many transactions failed, known to the next before anybody is told."""
        ...

    async def close(self) -> None: ...


async def open_database(url: str) -> Database:
    """Open a database and bring its tables up to date."""
    if url.startswith("sqlite:"):
        from hub.store.sqlite import SqliteDatabase

        return await SqliteDatabase.open(url)
    from hub.store.postgres import PostgresDatabase

    return await PostgresDatabase.open(url)
