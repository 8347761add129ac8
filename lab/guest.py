"""Reach into a running guest: its first process, and commands in all its namespaces."""

import time
from collections.abc import Sequence
from pathlib import Path

from lab import cgroup, state
from lab.run import LabError

PATH = "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INTO_GROUP = 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"'


def init_of(keeper: state.Process) -> int | None:
    """The guest's systemd as a process of the outer machine, or None while it does not run."""
    for nspawn in _children(keeper.pid):
        for child in _children(nspawn):
            if _status(child, "NSpid").split()[-1:] == ["1"] and _status(child, "Name") == "systemd":
                return child
    return None


def enter(
    name: str, argv: Sequence[str], environment: dict[str, str] | None = None, *, cwd: str = "/root"
) -> list[str]:
    """The outer command that runs `argv` as root in the guest, in its control groups and with a clean environment.

    Raises:
        LabError: the host is not running.
    """
    keeper = state.keeper_of(name)
    pid = init_of(keeper) if keeper else None
    if pid is None:
        raise LabError(f"the host {name} is not running; start it: python -m lab up {name}")
    inside = cgroup.group(name) / "payload" / "lab-exec"
    inside.mkdir(exist_ok=True)
    words = {
        "HOME": "/root",
        "USER": "root",
        "LOGNAME": "root",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "PATH": PATH,
        **(environment or {}),
    }
    return [
        "sh", "-c", INTO_GROUP, "lab", str(inside),
        "nsenter", "--target", str(pid), "--mount", "--uts", "--ipc", "--pid", "--net", "--cgroup", "--",
        "/usr/bin/env", "-i", "-C", cwd, *(f"{key}={value}" for key, value in words.items()), *argv,
    ]  # fmt: skip


def wait_for_new_init(name: str, old: int, timeout: float) -> None:
    """Return when the guest's first process is another one than `old`."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        keeper = state.keeper_of(name)
        pid = init_of(keeper) if keeper else None
        if pid is not None and pid != old:
            return
        time.sleep(0.05)
    raise LabError(f"the host {name} did not come back within {timeout:.0f} s; see {state.folder(name)}/console.log")


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _status(pid: int, field: str) -> str:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:")), "")
