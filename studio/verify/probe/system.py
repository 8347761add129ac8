"""Packages, account, firewall, services, containers and their processes."""

import json
import pwd
import time
from pathlib import Path
from typing import Any

from .shell import run

PROPERTIES = "Id,ActiveState,SubState,MainPID,ActiveEnterTimestampMonotonic"


def packages(wanted: list[str]) -> dict[str, str]:
    """The state of packages by name, as dpkg says it (`installed`); `absent` for one that it never heard of."""
    _, out = run(["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n", *wanted])
    known = dict(line.split(" ", 1) for line in out.splitlines() if line.count(" ") == 1)
    return {name: known.get(name, "absent") for name in wanted}


def account(name: str) -> dict[str, Any]:
    """The studio's account: uid, groups that give rights, linger, subordinate ids."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return {"exists": False}
    _, groups = run(["id", "-Gn", name])
    ranges = [line.split(":") for line in Path("/etc/subuid").read_text().splitlines()]
    return {
        "exists": True,
        "uid": found.pw_uid,
        "groups": groups.split(),
        "linger": Path("/var/lib/systemd/linger", name).exists(),
        "subuid": [[int(r[1]), int(r[2])] for r in ranges if len(r) == 3 and r[0] in (name, str(found.pw_uid))],
    }


def units(names: list[str], user: str | None) -> dict[str, dict[str, str]]:
    """systemd's view of units, by name: also whether one is `Wanted` at boot, and for how many `Seconds` it runs."""
    scope = ["--user"] if user else []
    _, out = run(["systemctl", *scope, "show", "--property", PROPERTIES, *names], user)
    found = {}
    for block in out.split("\n\n"):
        told = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in told:
            found[told["Id"]] = told
    base = f"/run/user/{pwd.getpwnam(user).pw_uid}/systemd" if user else "/etc/systemd/system"
    folders = [Path(base, f"generator{kind}") for kind in ("", ".early", ".late")] if user else [Path(base)]
    for name, told in found.items():
        target = "default.target.wants" if user else "multi-user.target.wants"
        since = int(told.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
        told["Seconds"] = str(time.clock_gettime(time.CLOCK_MONOTONIC) - since)
        told["Wanted"] = str(any((folder / target / name).is_symlink() for folder in folders))
    return found


def containers(names: list[str], user: str) -> dict[str, dict[str, Any]]:
    """Running containers by name, and what their first process may do."""
    _, out = run(["podman", "container", "inspect", *names], user)
    start = out.find("[")
    try:
        listed = json.loads(out[start : out.rfind("]") + 1])
    except ValueError:
        return {}
    _, images = run(["podman", "images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"], user)
    ids = {
        line.split(" ", 1)[1]: line.split(" ", 1)[0].removeprefix("sha256:")
        for line in images.splitlines()
        if " " in line
    }
    found = {}
    for container in listed:
        config, state = container["Config"], container["State"]
        found[container["Name"].lstrip("/")] = {
            "running": state.get("Running", False),
            "health": (state.get("Health") or {}).get("Status", ""),
            "labels": config.get("Labels") or {},
            "image": container.get("ImageName", ""),
            "image_is_current": ids.get(container.get("ImageName", "")) == container.get("Image"),
            "read_only": container["HostConfig"].get("ReadonlyRootfs"),
            "privileged": container["HostConfig"].get("Privileged"),
            "process": process(int(state.get("Pid") or 0)),
        }
    return found


def process(pid: int) -> dict[str, str]:
    """The kernel's view of a process: Uid, NoNewPrivs, capabilities, Seccomp; empty when there is none."""
    try:
        lines = Path("/proc", str(pid), "status").read_text().splitlines()
    except OSError:
        return {}
    wanted = {"Uid", "NoNewPrivs", "CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb", "Seccomp"}
    return {k: v.strip() for k, v in (line.split(":", 1) for line in lines if ":" in line) if k in wanted}


def listeners() -> list[dict[str, Any]]:
    """Every listening TCP and bound UDP socket: address, port, pids, and the uid that each belongs to."""
    found = []
    for protocol, flags in (("tcp", "-Htlnp"), ("udp", "-Hulnp")):
        _, out = run(["ss", flags])
        for line in out.splitlines():
            fields = line.split()
            if len(fields) < 4:
                continue
            address, _, port = fields[3].rpartition(":")
            pids = [int(part.split(",")[0]) for part in line.split("pid=")[1:]]
            owners = sorted({int(process(pid).get("Uid", "-1").split()[0]) for pid in pids})
            name = line.split('(("')[1].split('"')[0] if '(("' in line else "?"
            plain = address.strip("[]").partition("%")[0]
            found.append(
                {
                    "protocol": protocol,
                    "address": plain,
                    "port": int(port),
                    "pids": pids,
                    "uids": owners,
                    "program": name,
                }
            )
    return found


def firewall(boot_unit: str) -> dict[str, Any]:
    """The product's nftables table as it is loaded, and whether the unit that loads it at boot is enabled."""
    code, out = run(["nft", "--stateless", "list", "table", "inet", "sensor_pipeline"])
    _, enabled = run(["systemctl", "is-enabled", boot_unit])
    return {"loaded": out if code == 0 else None, "at_boot": enabled.strip()}


def monit() -> dict[str, Any]:
    """monit's own view of its checks, by name, over its socket."""
    code, out = run(["monit", "-c", "/var/lib/sensor-pipeline/current/monit/monitrc", "-B", "summary"])
    rows = [line.split("  ") for line in out.splitlines()[2:]]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    return {"code": code, "said": out[:500], "checks": {c[0]: c[1] for c in cells if len(c) == 3}}
