"""Where a secret's value occurs though it must not. Values stay in this process; only names and places are told."""

import base64
import os
from pathlib import Path
from typing import Any

from .files import BASE
from .shell import run

SHORTEST = 8  # bytes; a shorter value would be found by chance
JOURNAL_ENTRIES = 20_000


def forms(value: bytes) -> list[bytes]:
    """A value as it may appear: as it is (each long line of it), and in base64."""
    lines = [line.strip() for line in value.splitlines() if len(line.strip()) >= SHORTEST and b"-----" not in line]
    whole = [value] if b"\n" not in value.strip() else []
    encoded = base64.b64encode(value.strip()) if len(value) < 4096 else b""
    return [form for form in {*whole, *lines[:3], encoded} if len(form) >= SHORTEST]


def leaks(values: dict[str, bytes], may_have: dict[str, list[int]], user: str, names: list[str]) -> dict[str, Any]:
    """By place, the secrets found there as `name: where`.

    `may_have` says which processes may hold a secret in their environment, by the secret's name.
    """
    wanted = {name: found for name, value in values.items() if (found := forms(value))}
    return {
        "secrets": sorted(wanted),
        "generations": _in_files(wanted),
        "journal": _in_text(wanted, _journal(), "journal"),
        "command lines": _in_processes(wanted, "cmdline", {}),
        "environments": _in_processes(wanted, "environ", may_have),
        "podman inspect": _in_text(
            wanted, run(["podman", "container", "inspect", *names], user)[1].encode(), "inspect"
        ),
        "units": _in_text(
            wanted, run(["systemctl", "--user", "cat", *(f"{n}.service" for n in names)], user)[1].encode(), "units"
        ),
    }


def _named(wanted: dict[str, list[bytes]], content: bytes) -> list[str]:
    return [name for name, found in wanted.items() if any(form in content for form in found)]


def _in_text(wanted: dict[str, list[bytes]], content: bytes, where: str) -> list[str]:
    return [f"{name}: {where}" for name in _named(wanted, content)]


def _in_files(wanted: dict[str, list[bytes]]) -> list[str]:
    files = [p for folder in ("generations", "state") for p in (BASE / folder).rglob("*") if p.is_file()]
    return [f"{name}: {path.relative_to(BASE)}" for path in files for name in _named(wanted, path.read_bytes())]


def _journal() -> bytes:
    return run(["journalctl", "--no-pager", "--quiet", "--output=cat", f"--lines={JOURNAL_ENTRIES}"])[1].encode()


def _own_processes() -> set[int]:
    """This process and those that started it: who verifies may have the user's secrets in the environment."""
    found, pid = {os.getpid()}, os.getppid()
    while pid > 1:
        found.add(pid)
        try:
            pid = int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    return found


def _in_processes(wanted: dict[str, list[bytes]], file: str, may_have: dict[str, list[int]]) -> list[str]:
    found = []
    own = _own_processes()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) in own:
            continue
        try:
            content = (folder / file).read_bytes()
            program = (folder / "comm").read_text().strip()
        except OSError:
            continue
        named = _named(wanted, content)
        found += [f"{n}: {program} ({folder.name})" for n in named if int(folder.name) not in may_have.get(n, [])]
    return found
