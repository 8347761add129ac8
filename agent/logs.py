"""Log lines for programs (JSON, one a line) or for people at a terminal; every line of an attempt carries its id."""

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from typing import TextIO

from agent import clock


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"ts": clock.timestamp(), "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps(line | getattr(record, "fields", {}), ensure_ascii=False, default=str)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{k}={v}" for k, v in getattr(record, "fields", {}).items())
        return one_line(f"{clock.timestamp()} {record.levelname.lower():7} {record.getMessage()} {fields}")


def one_line(told: object) -> str:
    """What others wrote as one line that does nothing to the terminal."""
    return "".join(c if c.isprintable() else "?" for c in str(told)).rstrip()


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """A log that cannot be written (a closed pipe, a full disk) must not stop the device."""


class Log:
    """Writes events with fields; `bind` gives a log that adds fields to every line."""

    def __init__(self, logger: logging.Logger, bound: dict[str, object]) -> None:
        self._logger = logger
        self._bound = bound

    def bind(self, **fields: object) -> "Log":
        return Log(self._logger, self._bound | fields)

    def debug(self, event: str, **fields: object) -> None:
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._write(logging.ERROR, event, fields)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Log that a step was done or failed, with its duration in ms."""
        begun = time.monotonic()
        try:
            yield
        except BaseException:
            self.info("step failed", step=name, duration_ms=_since(begun))
            raise
        self.info("step done", step=name, duration_ms=_since(begun))

    def _write(self, level: int, event: str, fields: dict[str, object]) -> None:
        self._logger.log(level, "%s", event, extra={"fields": self._bound | fields})


def _since(begun: float) -> float:
    return round((time.monotonic() - begun) * 1000, 1)


def open_log(form: str = "auto", level: str = "info", stream: TextIO | None = None) -> Log:
    """A log on stderr; `form` is json, text, or auto (text on a terminal)."""
    stream = stream or sys.stderr
    handler = _Handler(stream)
    plain = form == "text" or (form == "auto" and stream.isatty())
    handler.setFormatter(_Plain() if plain else _Json())
    logger = logging.Logger(f"agent-{os.getpid()}", level.upper())
    logger.addHandler(handler)
    return Log(logger, {})
