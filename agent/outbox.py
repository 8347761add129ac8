"""All that the agent has to say, on the disk until the broker acknowledged it: in order, bounded, oldest dropped."""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agent import errors
from agent.logs import Log

FILE = "outbox.db"
SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA cache_size = -256;
PRAGMA journal_size_limit = 1048576;
CREATE TABLE IF NOT EXISTS message (number INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, payload TEXT);
CREATE TABLE IF NOT EXISTS run (request TEXT PRIMARY KEY, action TEXT, result TEXT);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
KEPT_RUNS = 200


class Outbox:
    """Used by several threads. At most `most` messages wait; when one more comes, the oldest is dropped and counted."""

    def __init__(self, folder: Path, most: int, log: Log) -> None:
        self._path = folder / FILE
        self._most = most
        self._log = log
        self._lock = threading.Lock()
        try:
            self._database = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise self._told(error) from error
            self._set_aside(error)
            self._database = self._open()
        self._waiting = self._count()

    def _open(self) -> sqlite3.Connection:
        if self._path.exists() and not self._path.is_file():
            raise errors.InputError([f"{self._path} is not a regular file"], "Take it away: the agent makes its own")
        self._path.touch(mode=0o600)
        database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        try:
            database.executescript(SCHEMA)
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(found)
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _count(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM message").fetchone()[0])

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self._lock:
            try:
                return self._database.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self._told(error) from error

    def _set_aside(self, error: Exception) -> None:
        aside = self._path.with_suffix(".damaged")
        self._log.error("outbox damaged, a new one is begun", error=str(error), kept=str(aside))
        self._path.replace(aside)
        for rest in ("-wal", "-shm"):
            self._path.with_name(FILE + rest).unlink(missing_ok=True)

    def _told(self, error: sqlite3.Error) -> errors.AgentError:
        return errors.DiskError(f"{self._path}: {error}", f"Check the space and the rights in {self._path.parent}")

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """One change, whole or not at all, on the disk at the end; raises DiskError."""
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                yield self._database
                self._database.execute("COMMIT")
            except sqlite3.Error as error:
                with contextlib.suppress(sqlite3.Error):
                    if self._database.in_transaction:  # a COMMIT that failed has been rolled back already
                        self._database.execute("ROLLBACK")
                    self._waiting = self._count()
                raise self._told(error) from error

    def add(self, topic: str, payload: dict[str, Any]) -> None:
        """Say something; raises DiskError when it cannot be kept."""
        text = json.dumps(payload, separators=(",", ":"), allow_nan=False)
        with self._change() as database:
            self._put(database, topic, text)

    def _put(self, database: sqlite3.Connection, topic: str, text: str) -> None:
        database.execute("INSERT INTO message (topic, payload) VALUES (?, ?)", (topic, text))
        surplus = self._waiting + 1 - self._most
        if surplus > 0:
            oldest = "SELECT number FROM message ORDER BY number LIMIT ?"
            database.execute(f"DELETE FROM message WHERE number IN ({oldest})", (surplus,))  # noqa: S608 - a constant
            database.execute(
                "INSERT INTO counter VALUES ('dropped', ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
                (surplus,),
            )
        self._waiting += 1 - max(surplus, 0)

    def after(self, number: int, count: int) -> list[tuple[int, str, str]]:
        """The next messages (number, topic, payload) after a number, oldest first."""
        query = "SELECT number, topic, payload FROM message WHERE number > ? ORDER BY number LIMIT ?"
        return self._rows(query, number, count)

    def done(self, numbers: Iterable[int]) -> None:
        """The broker has these: forget them."""
        with self._change() as database:
            for number in numbers:
                self._waiting -= database.execute("DELETE FROM message WHERE number = ?", (number,)).rowcount

    @property
    def waiting(self) -> int:
        return self._waiting

    @property
    def dropped(self) -> int:
        """How many messages were ever dropped because too many waited."""
        rows = self._rows("SELECT value FROM counter WHERE name = 'dropped'")
        return int(rows[0][0]) if rows else 0

    def begin_run(self, request: str, action: str) -> bool:
        """Note that a command is going to be run; False when it was begun before."""
        with self._change() as database:
            new = database.execute("INSERT OR IGNORE INTO run VALUES (?, ?, NULL)", (request, action)).rowcount == 1
            database.execute(
                "DELETE FROM run WHERE result IS NOT NULL AND rowid <= (SELECT max(rowid) FROM run) - ?", (KEPT_RUNS,)
            )
            return new

    def end_run(self, request: str, topic: str | None, result: dict[str, Any]) -> None:
        """Keep a command's result and say it (where there is a topic for it), both or neither."""
        text = json.dumps(result, separators=(",", ":"))
        with self._change() as database:
            database.execute("UPDATE run SET result = ? WHERE request = ?", (text, request))
            if topic is not None:
                self._put(database, topic, text)

    def result_of(self, request: str) -> dict[str, Any] | None:
        """What a command of before came to, None while it runs."""
        rows = self._rows("SELECT result FROM run WHERE request = ?", request)
        return json.loads(rows[0][0]) if rows and rows[0][0] else None

    def unfinished_runs(self) -> list[tuple[str, str]]:
        """Request and action of the commands that were cut short by the agent's own end."""
        return self._rows("SELECT request, action FROM run WHERE result IS NULL")

    def close(self) -> None:
        with self._lock:
            self._database.close()
