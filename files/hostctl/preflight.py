"""Every reason why this host cannot take the studio, found before anything is changed, told at once."""

import re
from typing import Any, Final

from hostctl.images import archive_name
from hostctl.manifest import Manifest

DEBIAN: Final = 13
PODMAN: Final = 5
ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
MIN_MEMORY_MB: Final = 900
MIN_FREE_MB: Final = {"bare": 3000, "deployed": 300}
MIN_IDS: Final = 65536
TESTING: Final = ("forky", "duke", "sid")


def problems(wanted: Manifest, state: dict[str, Any]) -> list[str]:
    """Sentences that say what is wrong and what to do; empty when the host is fit."""
    found = [*_machine(state), *_account(state), *_ports(wanted, state), *_secrets(wanted, state)]
    found += [
        f"{path} is needed for the hub, but something else is in it: name another folder, or empty it"
        for path in state["foreign_folders"]
    ]
    missing = [n for n, there in state["archives"].items() if not there and not state["images"].get(n)]
    if missing:
        folder = wanted.facts.get("image_archive")
        found.append(
            f"image archives are missing in {folder}: {', '.join(archive_name(wanted.component(n)) for n in missing)}"
        )
    return found


def _machine(state: dict[str, Any]) -> list[str]:
    found = []
    system = state["os"]
    version = re.match(r"\d+", system["VERSION_ID"])
    new = int(version[0]) >= DEBIAN if version else system["VERSION_CODENAME"] in TESTING
    if system["ID"] not in ("debian", "raspbian") or not new:
        name = system["PRETTY_NAME"] or "an unknown system"
        found.append(f"the system is {name}; Debian {DEBIAN} (trixie), Raspberry Pi OS on it, or newer is needed")
    if state["architecture"] not in ARCHITECTURES:
        found.append(f"the processor is {state['architecture']}; a 64-bit system (amd64 or arm64) is needed")
    if not state["systemd"]:
        found.append("systemd is not running: services could not be started")
    if not state["cgroup2"]:
        found.append("control groups are not version 2: remove systemd.unified_cgroup_hierarchy=0 from the boot line")
    podman = state["packages"].get("podman")
    if podman and int((re.match(r"(?:\d+:)?(\d+)", podman) or ["", "0"])[1]) < PODMAN:
        found.append(f"podman is {podman}; {PODMAN} or newer is needed: apt-get install podman from Debian {DEBIAN}")
    if state["memory_mb"] < MIN_MEMORY_MB:
        found.append(f"the memory is {state['memory_mb']} MB; {MIN_MEMORY_MB} MB are needed")
    need = MIN_FREE_MB["deployed" if state["current"] else "bare"]
    if state["disk_free_mb"] < need:
        found.append(f"/var/lib has {state['disk_free_mb']} MB free; {need} MB are needed")
    return found


def _account(state: dict[str, Any]) -> list[str]:
    account = state["account"]
    name = account["name"]
    if not account["exists"]:
        return []
    found = []
    if account["uid"] < 1000:
        found.append(
            f"host.user is {name!r}, a system account (uid {account['uid']}); name one of its own for the studio"
        )
    for kind in ("subuid", "subgid"):
        for first, count in account[kind]["own"]:
            if count < MIN_IDS:
                found.append(f"{name} has {count} ids in /etc/{kind}; containers need {MIN_IDS}")
            for other, size in account[kind]["others"]:
                if first < other + size and other < first + count:
                    found.append(
                        f"{name}'s ids in /etc/{kind} ({first}:{count}) overlap with {other}:{size} of another"
                    )
    return found


def _ports(wanted: Manifest, state: dict[str, Any]) -> list[str]:
    """Ports of services that do not run yet, taken by a process of none of our units (present or past)."""
    ours = set(state["components"])
    purposes = {x["port"]: f"{c.name} ({x['purpose']})" for c in wanted.components for x in c.listens}
    found = []
    for taken in state["ports"]:
        if not ours & set(taken["units"]):
            whose = f"{taken['program']} (process {taken['pid']})" if taken["pid"] else "another program"
            what = purposes.get(taken["port"], "this studio")
            found.append(
                f"port {taken['port']} is needed for {what}, but {whose} listens there: stop it, or set `ports`"
            )
    return sorted(set(found))


def _missing(wanted: Manifest, state: dict[str, Any], *, required: bool) -> list[str]:
    have = set(state["secrets"]) - set(state["unset_secrets"])
    return [
        s["name"]
        for s in wanted.secrets
        if s["origin"] == "user" and bool(s.get("required")) == required and s["name"] not in have | set(state["given"])
    ]


def variable(secret: str) -> str:
    """The environment variable that gives a user's secret."""
    return f"STUDIO_SECRET_{secret.upper().replace('-', '_')}"


def _secrets(wanted: Manifest, state: dict[str, Any]) -> list[str]:
    return [
        f"the secret {name} has no value: set {variable(name)}, or put it into {wanted.studio}.secrets.age"
        for name in _missing(wanted, state, required=True)
    ]


def warnings(wanted: Manifest, state: dict[str, Any]) -> list[str]:
    """What will not work yet but is no reason to stop."""
    found = [
        f"the secret {name} has no value yet ({variable(name)}): what needs it will not work"
        for name in _missing(wanted, state, required=False)
    ]
    failed = state["failed"]
    if failed and failed.get("generation") == wanted.generation and state["current"] != wanted.generation:
        found.append(f"this very configuration failed {failed.get('at', 'before')}: {failed.get('why', '')}")
    return found
