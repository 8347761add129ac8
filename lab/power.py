"""Start a host's keeper, and end it with everything that runs in the guest.

A keeper holds its host's lock from before it is started until it ends: whoever starts it locks, and it inherits the
open file. So one whose starter was killed before anything was written down is still waited for, and ended.
"""

import os
import signal
import sys
import time
from pathlib import Path

from lab import cgroup, paths, state
from lab.run import LabError, locked

SETTLED = 20.0
LOCK = 3
"""The keeper's descriptor of its lock, which it never uses."""


def keeper_of(name: str) -> state.Process | None:
    """The host's keeper, waited for while one has been started and has not yet said so.

    Raises:
        LabError: something holds the lock and does not say what it is.
    """
    until = time.monotonic() + SETTLED
    while time.monotonic() < until:
        with locked(_lock(name), wait=False) as held:
            known = state.keeper_of(name)
        if known is not None or held is not None:
            return known
        time.sleep(0.01)
    raise LabError(f"something keeps the host {name} locked; see: fuser -v {_lock(name)}")


def start(name: str) -> None:
    """Start the host's keeper as a process of its own, in a mount namespace of its own; nothing when it has one.

    Raises:
        LabError: it ended at once.
    """
    with locked(_lock(name), wait=False) as held:
        if held is not None:
            _spawn(name, held.fileno())
    if keeper_of(name) is None:
        raise LabError(f"the host {name} did not start; see {state.folder(name)}/keeper.log")


def _spawn(name: str, lock: int) -> None:
    argv = ["unshare", "--mount", "--propagation", "slave", sys.executable, "-m", "lab.keeper", name]
    environment = {**os.environ, "PYTHONPATH": str(paths.REPO), "LAB_DIR": str(paths.lab_dir())}
    log = os.open(state.folder(name) / "keeper.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    targets = ((null, 0), (log, 1), (log, 2), (lock, LOCK))
    streams = [(os.POSIX_SPAWN_DUP2, source, target) for source, target in targets]
    os.posix_spawnp(argv[0], argv, environment, file_actions=streams, setsid=True)
    for descriptor in (log, null):
        os.close(descriptor)


def cut(name: str) -> None:
    """End the keeper and every process of the guest at once, as a pulled plug does."""
    keeper = keeper_of(name)
    if keeper is not None:
        os.kill(keeper.pid, signal.SIGKILL)
        while keeper.alive():
            time.sleep(0.01)
    cgroup.kill(name)


def _lock(name: str) -> Path:
    return paths.lab_dir() / "locks" / f"{name}.keeper"
