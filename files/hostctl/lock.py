"""One hostctl at a time changes the host."""

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from hostctl.errors import BUSY, HostError
from hostctl.paths import Paths


def _holder(text: str) -> str:
    try:
        told = json.loads(text)
        return f"{told['what']} (process {told['pid']}, since {told['since']})"
    except (ValueError, KeyError, TypeError):
        return "another hostctl"


@contextlib.contextmanager
def restarting(paths: Paths, component: str) -> Iterator[None]:
    """Hold what a restart of one component needs: several may be restarted at once, each once at a time, and none
    while a deploy is at work.

    Raises:
        HostError: somebody is at it (code 75).
    """
    what = f"restart of {component}"
    own = paths.lock.with_name(f"{paths.lock.name}-{component}")
    with _held(own, what, wait=False), _held(paths.lock, what, wait=False, kind=fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def locked(paths: Paths, what: str, *, wait: bool = True) -> Iterator[None]:
    """Hold the host's lock. Waiting says once who holds it; with wait=False a held lock is a HostError (code 75).

    The kernel frees the lock when its holder dies, however it dies.
    """
    with _held(paths.lock, what, wait=wait):
        yield


@contextlib.contextmanager
def accounts(paths: Paths) -> Iterator[None]:
    """Hold what writing the broker's accounts needs, within `locked` or without it."""
    with _held(paths.broker_lock, "writing the broker's accounts", wait=True):
        yield


@contextlib.contextmanager
def _held(path: Path, what: str, *, wait: bool, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = _holder(file.read())
            if not wait:
                raise HostError(f"not now: {holder} is at work on this host", BUSY) from None
            print(f"waiting for {holder}", file=sys.stderr, flush=True)
            fcntl.flock(file, kind)
        os.fchmod(file.fileno(), 0o600)
        file.seek(0)
        file.truncate()
        since = time.strftime("%H:%M:%S")
        file.write(json.dumps({"what": what, "pid": os.getpid(), "since": since}))
        file.flush()
        yield
