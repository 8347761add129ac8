"""systemd units of both managers: the account's own (containers) and the host's (packages)."""

import subprocess
from collections.abc import Iterable, Sequence
from typing import Final

from hostctl.manifest import Component
from hostctl.run import Account, finish, must, run, start

PROPERTIES: Final = (
    "Id,LoadState,ActiveState,SubState,Result,MainPID,UnitFileState,MemoryCurrent,NRestarts,ActiveEnterTimestamp"
)


def systemctl(who: Account | None) -> list[str]:
    return ["systemctl", "--user"] if who else ["systemctl"]


def start_show(units: Iterable[str], who: Account | None) -> "subprocess.Popen[bytes]":
    return start([*systemctl(who), "show", "--timestamp=unix", "-p", PROPERTIES, "--", *units], who)


def parse_show(text: str) -> dict[str, dict[str, str]]:
    """The output of `systemctl show` of several units, by unit."""
    blocks = (dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n"))
    return {block["Id"]: block for block in blocks if "Id" in block}


def show(units: Sequence[str], who: Account | None) -> dict[str, dict[str, str]]:
    return parse_show(finish(start_show(units, who)).out) if units else {}


def reload(who: Account | None) -> None:
    whose = f"{who.name}'s" if who else "the host's"
    must([*systemctl(who), "daemon-reload"], f"{whose} systemd could not reload its units", who=who, timeout=60)


def stop(units: Sequence[str], who: Account | None) -> None:
    """Stop units; those that are not there count as stopped."""
    if units:
        run([*systemctl(who), "stop", "--", *units], who=who, timeout=120)


def begin(verb: str, components: Sequence[Component], who: Account | None) -> "subprocess.Popen[bytes]":
    """Start or restart several units at once; systemd keeps their After= order and waits for each one's readiness."""
    units = [c.unit for c in components]
    run([*systemctl(who), "reset-failed", "--", *units], who=who, timeout=30)
    return start([*systemctl(who), verb, "--", *units], who)


def journal(unit: str, since: float, lines: int = 15) -> list[str]:
    """The last lines a unit (of either manager) and its container wrote since a time (epoch seconds)."""
    matches = [
        f"_SYSTEMD_USER_UNIT={unit}",
        "+",
        f"USER_UNIT={unit}",
        "+",
        f"_SYSTEMD_UNIT={unit}",
        "+",
        f"UNIT={unit}",
    ]
    argv = ["journalctl", "-q", "--no-pager", "-o", "cat", "-n", str(lines), f"--since=@{since:.0f}", *matches]
    return run(argv, timeout=20).out.splitlines()


def failed_units(components: Sequence[Component], who: Account | None) -> dict[str, str]:
    """Those of the components that are not active, each with what systemd says of it, by name."""
    shown = show([c.unit for c in components], who)
    bad = {}
    for component in components:
        unit = shown.get(component.unit, {})
        if unit.get("ActiveState") != "active":
            result = unit.get("Result", "")
            said = f"{unit.get('ActiveState', 'unknown')} ({unit.get('SubState', '?')})"
            bad[component.name] = said if result in ("", "success") else f"{said}, {result}"
    return bad
