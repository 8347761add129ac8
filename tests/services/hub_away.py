"""A database that is read, and takes no writes."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator

import asyncpg
from hub_support import RunningHub


@contextlib.asynccontextmanager
async def away(hub: RunningHub, url: str) -> AsyncIterator[None]:
    """SQLite's file is locked by somebody else, a PostgreSQL is only read."""
    if url.startswith("postgresql:"):
        await read_only(url, "on")
        try:
            yield
        finally:
            await read_only(url, "off")
        return
    await hub.hub.db.write(lambda conn: conn.exec_driver_sql("PRAGMA busy_timeout=50") and None)
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def noticed(hub: RunningHub) -> None:
    """Return when a write has failed."""
    await hub.until(lambda: "database" in hub.hub.problems, 60)


async def read_only(url: str, value: str) -> None:
    """What a PostgreSQL is that recovers, or that its keeper has made so; connections begin anew."""
    name = url.rpartition("/")[2]
    connection = await asyncpg.connect(url.replace(name, "postgres"))
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}")
    await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    await connection.close()
