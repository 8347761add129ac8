"""The agent's folder: one agent at a time, and nothing unfinished left in it."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from agent import durable, errors
from agent.config import BACKUPS


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder for this process alone; the kernel lets it go when the process ends, however it ends."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise errors.of_os(error, folder, errors.READING) from error
    try:
        if not any(_lock(handle, wait) for wait in (0, 0.1, 0.2)):  # `status` may be asking this very moment
            raise errors.BusyError(
                f"{folder} is held by another agent", "Stop that one first: systemctl stop studio-agent"
            )
        yield
    finally:
        os.close(handle)


def _lock(handle: int, wait: float) -> bool:
    time.sleep(wait)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(folder: Path) -> bool:
    """Whether an agent works in the folder now; raises AgentError when the folder cannot be looked into."""
    try:
        with held(folder):
            return False
    except errors.BusyError:
        return True


def sweep(folder: Path) -> None:
    """Remove what an interrupted write left behind; only while the folder is held."""
    for place in (folder, folder / BACKUPS):
        for left in place.glob(f".*{durable.NEW_SUFFIX}"):
            durable.remove(left)
