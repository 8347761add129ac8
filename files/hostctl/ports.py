"""Who listens on which TCP port, from /proc."""

import re
from pathlib import Path
from typing import Any

LISTEN = "0A"


def listening(proc: Path = Path("/proc")) -> dict[int, set[str]]:
    """TCP ports something listens on, each with the inodes of its sockets."""
    found: dict[int, set[str]] = {}
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (proc / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == LISTEN:
                found.setdefault(int(columns[1].rpartition(":")[2], 16), set()).add(columns[9])
    return found


def owners(inodes: set[str], proc: Path = Path("/proc")) -> dict[str, dict[str, Any]]:
    """By socket inode: pid, program, and the systemd units its process belongs to."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[str, dict[str, Any]] = {}
    for process in proc.iterdir():
        if not process.name.isdigit() or len(found) == len(wanted):
            continue
        try:
            for handle in (process / "fd").iterdir():
                inode = wanted.get(str(handle.readlink()))
                if inode and inode not in found:
                    units = re.findall(r"[^/\n]+\.(?:service|socket|scope)", (process / "cgroup").read_text())
                    program = (process / "comm").read_text().strip()
                    found[inode] = {"pid": int(process.name), "program": program, "units": sorted(set(units))}
        except OSError:
            continue
    return found


def taken(ports: list[int], proc: Path = Path("/proc")) -> list[dict[str, Any]]:
    """Which of these ports are taken, and by whom: [{port, pid, program, units}]."""
    sockets = {port: inodes for port, inodes in listening(proc).items() if port in ports}
    if not sockets:
        return []
    by_inode = owners(set().union(*sockets.values()), proc)
    unknown: dict[str, Any] = {"pid": None, "program": "?", "units": []}
    return [
        {"port": port, **by_inode.get(inode, unknown)} for port, inodes in sorted(sockets.items()) for inode in inodes
    ]
