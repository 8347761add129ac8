"""Start a host's keeper, and end it with everything that runs in the guest."""

import os
import signal
import sys
import time

from lab import cgroup, paths, state


def start(name: str) -> None:
    """Start the host's keeper as a process of its own, in a mount namespace of its own.

    Raises:
        LabError: it ended at once.
    """
    folder = state.folder(name)
    argv = ["unshare", "--mount", "--propagation", "slave", sys.executable, "-m", "lab.keeper", name]
    environment = {**os.environ, "PYTHONPATH": str(paths.REPO), "LAB_DIR": str(paths.lab_dir())}
    log = os.open(folder / "keeper.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    streams = [(os.POSIX_SPAWN_DUP2, source, target) for source, target in ((null, 0), (log, 1), (log, 2))]
    pid = os.posix_spawnp(argv[0], argv, environment, file_actions=streams, setsid=True)
    for descriptor in (log, null):
        os.close(descriptor)
    state.save_keeper(name, pid)


def cut(name: str) -> None:
    """End the keeper and every process of the guest at once, as a pulled plug does."""
    keeper = state.keeper_of(name)
    if keeper is not None:
        os.kill(keeper.pid, signal.SIGKILL)
        while keeper.alive():
            time.sleep(0.01)
    cgroup.kill(name)
