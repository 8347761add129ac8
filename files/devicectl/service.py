"""The agent's unit: what runs, started with what, and whether it came up."""

import json
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from devicectl.paths import ACCOUNT, UNIT, Paths
from hostctl.errors import HostError
from hostctl.run import must, run

PROPERTIES: Final = (
    "LoadState", "ActiveState", "MainPID", "UnitFileState", "NRestarts", "WatchdogUSec", "User", "MemoryCurrent",
    "NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateUsers", "CapabilityBoundingSet",
    "MemoryDenyWriteExecute", "RestrictNamespaces",
)  # fmt: skip
KNOWN_SINCE: Final = {"RestartSteps": 254, "RestartMaxDelaySec": 254}
"""The first version of systemd that knows a setting; an older one would warn of it at each reload."""
STEADY_SECONDS: Final = 2
UP_SECONDS: Final = 30
MOST_RESTARTS: Final = 2
PROVISIONED_SECONDS: Final = 150
"""More than the agent's own limits add up to, retries included."""
LARGEST: Final = 1 << 20
"""Bytes that are read of a file of the agent's."""


def systemd_version() -> int | None:
    """As in 257; None when systemd does not say."""
    told = re.match(r"systemd (\d+)", run(["systemctl", "--version"]).out)
    return int(told[1]) if told else None


def understood(unit: str, systemd: int | None) -> str:
    """The unit without the settings that are newer than this systemd."""
    new = {key for key, since in KNOWN_SINCE.items() if systemd is not None and systemd < since}
    return "".join(line for line in unit.splitlines(keepends=True) if line.partition("=")[0] not in new)


def state() -> dict[str, str]:
    """The unit's properties as systemd tells them."""
    told = run(["systemctl", "show", UNIT, f"--property={','.join(PROPERTIES)}"]).out
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


def running(unit: dict[str, str], proc: Path = Path("/proc")) -> str | None:
    """The version that the unit's main process was started from; None when none runs."""
    try:
        words = (proc / unit.get("MainPID", "0") / "cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
    found = re.search(r"/opt/studio-agent/versions/([0-9a-f]{16})/", words)
    return found[1] if found else None


def up(version: str) -> bool:
    unit = state()
    return unit.get("ActiveState") == "active" and running(unit) == version


def register() -> None:
    """Let systemd know the account and the unit that were placed."""
    must(["systemd-sysusers", "studio-agent.conf"], f"could not make the account {ACCOUNT}")
    must(["systemctl", "daemon-reload"], "could not make systemd read the unit")
    must(["systemctl", "enable", "--quiet", UNIT], "could not have the agent started at boot")


def restart(paths: Paths, version: str, *, provisioning: bool) -> None:
    """Start the agent anew and return when it is up, and provisioned when that was asked for; else a HostError."""
    before = _attempts(paths)
    must(["systemctl", "reset-failed", UNIT], "could not clear the unit's failures")
    must(["systemctl", "restart", "--no-block", UNIT], "could not start the agent")
    if provisioning:
        _until(lambda: _provisioned(paths, before), PROVISIONED_SECONDS, "has not provisioned itself")
    _until(lambda: up(version), UP_SECONDS, "did not come up")
    pid = state().get("MainPID")
    time.sleep(STEADY_SECONDS)
    if not up(version) or state().get("MainPID") != pid:
        raise HostError(f"the agent ended right after its start: {last_words()}")


def _until(done: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not done():
        unit = state()
        ends_again = unit.get("ActiveState") == "failed" or int(unit.get("NRestarts") or 0) >= MOST_RESTARTS
        if time.monotonic() > end or ends_again:
            raise HostError(f"the agent {what}: {last_words()}")
        time.sleep(0.2)


def read_object(path: Path) -> dict[str, Any]:
    """The object in a file of the agent's folder; empty when it is none.

    Root reads here what an account without rights may put there: no link is followed, no pipe waited for.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123 - a descriptor
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            value = json.loads(file.read(LARGEST)) if regular else None
    except (OSError, ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}


def _provisioned(paths: Paths, before: set[str]) -> bool:
    told = read_object(paths.data / "provision_status.json")
    if told.get("attempt") in before:
        return False
    if told.get("phase") == "failed":
        error = told.get("error")
        why = f"{error.get('message')}; {error.get('advice')}" if isinstance(error, dict) else "it does not say why"
        raise HostError(f"provisioning failed: {why}")
    return told.get("phase") == "completed"


def _attempts(paths: Paths) -> set[str]:
    history = read_object(paths.data / "provision_status.json").get("history")
    entries = history if isinstance(history, list) else []
    return {str(entry.get("attempt")) for entry in entries if isinstance(entry, dict)}


def last_words() -> str:
    """What the agent said last of a failure, in one line."""
    own = f"_SYSTEMD_UNIT={UNIT}"
    for line in reversed(run(["journalctl", own, "--output=cat", "--lines=20", "--no-pager"]).out.splitlines()):
        try:
            told = json.loads(line)
        except ValueError:
            return line.strip()
        if isinstance(told, dict) and told.get("level") in ("warning", "error"):
            said = told.get("error") or told.get("message") or told.get("event")
            return "; ".join(str(part) for part in (said, told.get("advice")) if part)
    return "it says nothing; see journalctl -u studio-agent"
