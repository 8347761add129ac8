"""What the machine is: facts read from its own files, without starting a program where there is another way."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from hostctl.run import Account


def os_release(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {key: value.strip().strip("\"'") for key, value in pairs}


def facts() -> dict[str, Any]:
    """OS, architecture, memory (MB), free space below /var/lib (MB), and whether systemd and cgroup v2 are there."""
    release = os_release()
    disk = os.statvfs("/var/lib")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "os": {k: release.get(k, "") for k in ("ID", "VERSION_ID", "PRETTY_NAME", "VERSION_CODENAME")},
        "architecture": os.uname().machine,
        "python": ".".join(map(str, sys.version_info[:3])),
        "systemd": Path("/run/systemd/system").is_dir(),
        "cgroup2": Path("/sys/fs/cgroup/cgroup.controllers").is_file(),
        "memory_mb": pages // 2**20,
        "disk_free_mb": disk.f_bavail * disk.f_frsize // 2**20,
    }


def id_ranges(account: str, uid: int | None, file: Path) -> dict[str, list[list[int]]]:
    """The ranges [first, count] of subordinate ids: the account's `own`, and everybody else's `others`."""
    ranges: dict[str, list[list[int]]] = {"own": [], "others": []}
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return ranges
    for line in lines:
        owner, _, rest = line.partition(":")
        first, _, count = rest.partition(":")
        if first.isdigit() and count.isdigit():
            mine = owner == account or owner == str(uid)
            ranges["own" if mine else "others"].append([int(first), int(count)])
    return ranges


def own_ids(who: Account) -> list[list[int]]:
    """The ranges [first, count] of the account's subordinate user ids; none before the deploy has given it some."""
    return id_ranges(who.name, who.uid, Path("/etc/subuid"))["own"]


def inside_uid(who: Account, uid: int) -> int:
    """The user id on the host that is a user of a rootless container of the account, which has subordinate ids."""
    return who.uid if uid == 0 else own_ids(who)[0][0] + uid - 1


def account_facts(name: str, found: Account | None) -> dict[str, Any]:
    uid = found.uid if found else None
    return {
        "name": name,
        "exists": found is not None,
        "uid": uid,
        "subuid": id_ranges(name, uid, Path("/etc/subuid")),
        "subgid": id_ranges(name, uid, Path("/etc/subgid")),
        "broken": broken_account(found) if found else [],
        "linger": Path("/var/lib/systemd/linger", name).exists(),
        "manager": found is not None and Path(f"/run/user/{uid}/systemd/private").exists(),
    }


def broken_account(who: Account, etc: Path = Path("/etc")) -> list[str]:
    """What an account lacks when the program that made it was killed: its `shadow` entry, its `group`, its `home`."""
    lacks = []
    with contextlib.suppress(OSError):
        if not any(line.startswith(f"{who.name}:") for line in (etc / "shadow").read_text().splitlines()):
            lacks.append("shadow")
    with contextlib.suppress(OSError):
        if not any(line.split(":")[2:3] == [str(who.gid)] for line in (etc / "group").read_text().splitlines()):
            lacks.append("group")
    return lacks if Path(who.home).is_dir() else [*lacks, "home"]


def packages(wanted: list[str], status: Path = Path("/var/lib/dpkg/status")) -> dict[str, str]:
    """The versions of those of the wanted packages that dpkg has installed."""
    names = set(wanted)
    found: dict[str, str] = {}
    try:
        text = status.read_text(errors="replace")
    except OSError:
        return found
    for block in text.split("\n\n"):
        name = block[9 : block.find("\n")] if block.startswith("Package: ") else ""
        if name in names and "\nStatus: install ok installed" in block:
            version = block.partition("\nVersion: ")[2]
            found[name] = version[: version.find("\n")] if "\n" in version else version
    return found
