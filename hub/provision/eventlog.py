"""Provisioning events as JSON lines in a file, written by a thread: a slow or full disk never holds up a wait.

One line is one write to a file opened for appending. A file that is full becomes `.1`, `.1` becomes `.2`, and the
oldest goes, so that the disk never fills. It may as well be rotated from outside: by rename (it is opened anew) or by
copytruncate (appending goes on at its new end). A line that does not fit on the disk is taken back whole and counted.
"""

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson

from hub.ids import iso, now_ms

WAITING: Final = 10_000


@dataclass(frozen=True, slots=True)
class Rotation:
    """A file has up to so many bytes, and so many older ones are kept beside it; `size` 0: nothing is rotated here."""

    size: int = 10 * 1024 * 1024
    kept: int = 4


class EventLog:
    """`path` None: no log. `failed` is called with how many lines were lost."""

    def __init__(self, path: Path | None, failed: Callable[[int], None], rotation: Rotation | None = None) -> None:
        self._path = path
        self._failed = failed
        self._rotation = rotation or Rotation()
        self._fd: int | None = None
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="event-log", daemon=True)
        if path is not None:
            self._thread.start()

    @property
    def depth(self) -> int:
        return self._queue.qsize()

    def write(self, event: str, fields: Mapping[str, Any]) -> None:
        """Take an event; never blocks and never fails."""
        if self._path is None:
            return
        if self._queue.qsize() >= WAITING:
            self._failed(1)
            return
        line = {"timestamp": iso(now_ms()), "event": event, **fields}
        self._queue.put(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, for at most `timeout` seconds."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(timeout)

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            try:
                self._append(line)
            except OSError:
                self._failed(1)
                self._shut()
        self._shut()

    def _append(self, line: bytes) -> None:
        fd = self._file()
        before = os.fstat(fd).st_size
        if before and 0 < self._rotation.size < before + len(line):
            self._rotate()
            fd, before = self._file(), 0
        written = os.write(fd, line)
        if written < len(line):
            os.ftruncate(fd, before)
            raise OSError("the disk is full")

    def _rotate(self) -> None:
        path = self._there
        names = [path, *(path.with_name(f"{path.name}.{n}") for n in range(1, self._rotation.kept + 1))]
        for newer, older in reversed(list(pairwise(names))):
            with contextlib.suppress(FileNotFoundError):
                newer.rename(older)
        if self._rotation.kept == 0:
            path.unlink(missing_ok=True)

    @property
    def _there(self) -> Path:
        assert self._path is not None  # noqa: S101 - the thread runs only with a path
        return self._path

    def _file(self) -> int:
        path = self._there
        if self._fd is not None:
            try:
                there, ours = path.stat(), os.fstat(self._fd)
            except FileNotFoundError:
                self._shut()
            else:
                if (there.st_ino, there.st_dev) == (ours.st_ino, ours.st_dev):
                    return self._fd
                self._shut()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        return self._fd

    def _shut(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
