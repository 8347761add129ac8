"""Log lines as JSON on stdout, written by a thread of their own so that no request ever waits for stdout.

The queue is bounded: when stdout stalls, lines below ERROR are dropped and counted; ERROR lines have room of their own.
Lines are written together, those of a hundredth of a second, or of a tenth when there are many: what a line costs is
its write, and the disk's work for it beside that for the database.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import orjson
import structlog

from hub.context import current
from hub.ids import iso, now_ms

LEVELS: Final = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
NAMES: Final = {10: "debug", 20: "info", 30: "warning", 40: "error"}
_BATCH: Final = 500
_TOGETHER_SECONDS: Final = 0.01
_LONGEST_SECONDS: Final = 0.1
_NUMBERS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 40, "exception": 40}


class LogWriter:
    """A thread that renders and writes what is put in; `dropped` counts what there was no room for."""

    def __init__(self, fd: int = 1, size: int = 10_000) -> None:
        self.level = LEVELS["INFO"]
        self.dropped = 0
        self._fd = fd
        self._size = size
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        return self._queue.qsize()

    def event(
        self, level: str, event: str, common: Mapping[str, Any], fields: Mapping[str, Any], at: int | None = None
    ) -> None:
        """Take an event of the vocabulary, if its level is wanted; it happened `at` (ms), or now."""
        number = _NUMBERS[level]
        if number >= self.level:
            ts = now_ms() if at is None else at
            self.put(number, {"ts": ts, "level": NAMES[number], "event": event, **common, **fields})

    def put(self, number: int, line: dict[str, Any]) -> None:
        """Take a line, which is the writer's from then on; never blocks and never fails."""
        room = self._size if number < LEVELS["ERROR"] else 2 * self._size
        if self._queue.qsize() >= room:
            self.dropped += 1
        else:
            self._queue.put(line)

    def close(self, timeout: float = 5.0) -> None:
        """Write what is queued, for at most `timeout` seconds."""
        self._queue.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            batch = [self._queue.get()]
            while len(batch) < _BATCH and self._queue.qsize():
                batch.append(self._queue.get())
            data = b"".join(render(line) for line in batch if line is not None)
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except OSError:
                self.dropped += len(batch)
            if None in batch:
                return
            if self._queue.qsize() < _BATCH:
                time.sleep(min(_LONGEST_SECONDS, _TOGETHER_SECONDS * len(batch)))


def render(line: dict[str, Any]) -> bytes:
    """One line of JSON, whatever is in it; `ts` may be milliseconds since the epoch, and becomes text."""
    if isinstance(line.get("ts"), int):
        line["ts"] = iso(line["ts"])
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError):
        safe = {str(k): repr(v) for k, v in line.items()}
        return orjson.dumps(safe, option=orjson.OPT_APPEND_NEWLINE)


class _ToWriter(logging.Handler):
    """Lines of libraries go the same way."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        number = min(record.levelno // 10 * 10, 40)
        if number < self._writer.level:
            return
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        line = {
            "ts": now_ms(),
            "level": NAMES.get(number, "info"),
            "event": "log",
            "logger": record.name,
            "message": message,
        }
        if record.exc_info:
            line["exception"] = logging.Formatter().formatException(record.exc_info)
        self._writer.put(number, line)


def configure(writer: LogWriter, level: str) -> None:
    """Send structlog's and the libraries' lines through the writer."""
    set_level(writer, level)

    def keep(_: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if _NUMBERS[name] < writer.level:
            raise structlog.DropEvent
        return event

    def finish(_: Any, name: str, event: MutableMapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        number = _NUMBERS[name]
        context = current.get()
        line: dict[str, Any] = {"ts": now_ms(), "level": NAMES[number]}
        line["event"] = event.pop("event")
        if context is not None:
            line |= context.common()
        line.update(event)
        return (number, line), {}

    structlog.configure(
        processors=[keep, structlog.processors.format_exc_info, finish],
        logger_factory=lambda *_: _Sink(writer),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_ToWriter(writer)]
    root.setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def set_level(writer: LogWriter, level: str) -> None:
    writer.level = LEVELS[level]


class _Sink:
    """What structlog calls with the finished line."""

    def __init__(self, writer: LogWriter) -> None:
        self._put = writer.put

    def __getattr__(self, _: str) -> Any:
        return self._put
