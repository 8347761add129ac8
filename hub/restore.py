"""Put a backup in the place of a SQLite database that nobody uses: looked at first, and in one step.

Whenever it is killed, the database is the one of before or the one of the backup. The one of before is kept beside it.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from alembic.util import CommandError
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import SQLAlchemyError

from hub.durable import sync
from hub.store.migrate import upgrade
from hub.store.sqlite import engine
from hub.store.tables import metadata

LOCK_BYTES: Final = (0x4000_0000, 512)
"""Where SQLite locks a database (https://sqlite.org/src/file/src/os.h, PENDING_BYTE): who has it open holds some."""
BESIDE: Final = ("-wal", "-shm")


class NotRestored(Exception):
    """Why, in words; nothing was changed."""


def restore(backup: Path, database: Path) -> Path | None:
    """Make `database` what `backup` is; where the database of before is now. Raises NotRestored, and OSError.

    The backup is brought up to this hub's tables; a newer hub's stays as it is.
    """
    if not backup.is_file():
        raise NotRestored(f"there is no file {backup}")
    if database.exists() and backup.samefile(database):
        raise NotRestored(f"{backup} is the database itself")
    database.parent.mkdir(parents=True, exist_ok=True)
    with _unused(database):
        pass
    made = database.with_name(f".{database.name}.restored")
    try:
        _tidy(made, database)
        _copy(backup, made)
        _check(made)
        _own(made, database if database.exists() else database.parent)
        _fold(database)
        with _unused(database):
            return _swap(made, database)
    finally:
        _forget(made)


@contextlib.contextmanager
def _unused(database: Path) -> Iterator[None]:
    """Nobody has the database open, nor gets it. In here this process must not open it: a POSIX lock ends with that."""
    if not database.exists():
        yield
        return
    fd = os.open(database, os.O_RDWR)
    try:
        start, length = LOCK_BYTES
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        yield
    except BlockingIOError:
        raise NotRestored(f"{database} is in use: stop the hub first") from None
    finally:
        os.close(fd)


def _copy(backup: Path, made: Path) -> None:
    made.touch(0o600)
    # What lies beside a backup belongs to it; where nothing does, nothing is to be made there either.
    alone = not Path(f"{backup}-wal").exists()
    source = f"file:{quote(str(backup.absolute()))}?mode=ro{'&immutable=1' if alone else ''}"
    try:
        with (
            contextlib.closing(sqlite3.connect(source, uri=True)) as given,
            contextlib.closing(sqlite3.connect(made)) as copy,
        ):
            given.backup(copy)
    except sqlite3.Error as error:
        raise NotRestored(f"{backup} cannot be read as a SQLite database: {error}") from None


def _check(made: Path) -> None:
    """The copy is whole, and a hub's; a hub can go on with it."""
    try:
        with contextlib.closing(sqlite3.connect(made)) as copy:
            (found,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise NotRestored(f"the backup is damaged: {' '.join(found.split())}")
            if not copy.execute("SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'").fetchone():
                raise NotRestored("the backup is no hub's database: it has other tables")
        opened = engine(f"sqlite:///{made}", begin="BEGIN IMMEDIATE")
        try:
            with opened.begin() as conn:
                upgrade(conn)
                missing = _missing(conn)
        finally:
            opened.dispose()
    except (sqlite3.Error, SQLAlchemyError, CommandError) as error:
        raise NotRestored(f"the backup is damaged: {getattr(error, 'orig', error)}") from None
    if missing:
        raise NotRestored(f"the backup is no hub's database: it has no {', '.join(missing)}")
    sync(made)


def _missing(conn: Connection) -> list[str]:
    """Tables and columns that a hub needs and that are not there."""
    there = inspect(conn)
    tables = set(there.get_table_names())
    missing = []
    for name, table in metadata.tables.items():
        columns = {column["name"] for column in there.get_columns(name)} if name in tables else set()
        missing += [f"{name}.{column.name}" for column in table.columns if column.name not in columns]
    return missing[:3]


def _fold(database: Path) -> None:
    """What a killed hub left in -wal becomes part of the database, so that -wal can go; not that of a damaged one."""
    if database.exists():
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(database)) as old:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _swap(made: Path, database: Path) -> Path | None:
    kept = None
    if database.exists():
        kept = database.with_name(f"{database.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        for end in ("", *BESIDE):
            with contextlib.suppress(FileNotFoundError):
                os.link(f"{database}{end}", f"{kept}{end}")
    sync(database.parent)
    for end in BESIDE:
        Path(f"{database}{end}").unlink(missing_ok=True)
    sync(database.parent)
    made.replace(database)
    sync(database.parent)
    return kept


def _own(made: Path, like: Path) -> None:
    """Whoever restores, the hub must be able to open it."""
    owner = like.stat()
    if os.geteuid() == 0:
        os.chown(made, owner.st_uid, owner.st_gid)


def _tidy(made: Path, database: Path) -> None:
    """Remove what a restore left that was killed: its copy, and second names of the database."""
    _forget(made)
    for name in database.parent.glob(f"{database.name}.before-*Z"):
        if database.exists() and name.samefile(database):
            _forget(name)


def _forget(made: Path) -> None:
    for end in ("", *BESIDE, "-journal"):
        Path(f"{made}{end}").unlink(missing_ok=True)
