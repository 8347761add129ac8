"""Stopping is bounded: each part has seconds for it, and the process ends even when something hangs.

What was answered with success is on disk before the answer, so that nothing acknowledged is lost either way.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Final

import structlog

from hub.logs import LogWriter

log = structlog.get_logger()
REQUEST_SECONDS: Final = 4
PART_SECONDS: Final = 2.0
PROCESS_SECONDS: Final = 9.0
LOG_SECONDS: Final = 1.0


async def in_time(part: str, stopping: Awaitable[Any]) -> None:
    """Let a part stop; what takes longer is left behind, and told of."""
    try:
        async with asyncio.timeout(PART_SECONDS):
            await stopping
    except TimeoutError:
        log.warning("hub.stop.slow", part=part, seconds=PART_SECONDS)


@contextlib.asynccontextmanager
async def stops_in_time(name: str, part: contextlib.AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
    """A part that has PART_SECONDS to stop."""
    await part.__aenter__()
    try:
        yield
    finally:
        await in_time(name, part.__aexit__(None, None, None))


class Deadline:
    """Ends the process PROCESS_SECONDS after `begin`, when it has not ended by itself."""

    def __init__(self, writer: LogWriter, seconds: float = PROCESS_SECONDS) -> None:
        self._writer = writer
        self._seconds = seconds
        self._begun = False

    def begin(self) -> None:
        """May be called from a signal handler, and more than once."""
        if not self._begun:
            self._begun = True
            timer = threading.Timer(self._seconds, self._end)
            timer.daemon = True
            timer.start()

    def _end(self) -> None:
        alive = [thread.name for thread in threading.enumerate() if not thread.daemon]
        log.error("hub.stop.forced", seconds=self._seconds, threads=alive)
        self._writer.close(LOG_SECONDS)
        os._exit(0)
