"""The account that runs the containers: made, given subordinate ids, and kept running without a log-in."""

import time
from pathlib import Path
from typing import Final

from hostctl import system
from hostctl.errors import HostError
from hostctl.run import Account, account, must, need_account

IDS: Final = 65536
FIRST_ID: Final = 100000
START_SECONDS: Final = 30


def free_range(taken: list[list[int]]) -> int:
    """The first id of a free range of 65,536 ids."""
    first = FIRST_ID
    for start, count in sorted(taken):
        if first < start + count and start < first + IDS:
            first = start + count
    return first


def _repair(who: Account) -> None:
    """Finish what a useradd that was killed left undone: without its entry in shadow nobody can log in."""
    lacks = system.broken_account(who)
    if "shadow" in lacks:
        must(["pwconv"], f"could not complete the account {who.name}")
    if "group" in lacks:
        must(["groupadd", "--gid", str(who.gid), who.name], f"could not make the group of {who.name}")
    if "home" in lacks:
        must(["install", "-d", "-m", "0700", "-o", str(who.uid), "-g", str(who.gid), who.home], "could not make a home")


def ensure(name: str) -> Account:
    """Make the account what the containers need; what is right already is left alone."""
    who = account(name)
    if who is None:
        argv = ["useradd", "--create-home", "--user-group", "--shell", "/usr/sbin/nologin"]
        must([*argv, "--comment", "sensor pipeline", name], f"could not make the account {name}")
        who = need_account(name)
    _repair(who)
    for kind, option in (("subuid", "--add-subuids"), ("subgid", "--add-subgids")):
        ranges = system.id_ranges(name, who.uid, Path("/etc", kind))
        if not ranges["own"]:
            first = free_range(ranges["others"])
            must(["usermod", option, f"{first}-{first + IDS - 1}", name], f"could not give {name} its {kind} range")
    must(["loginctl", "enable-linger", name], f"could not keep {name}'s services running without a log-in")
    must(["systemctl", "start", f"user@{who.uid}.service"], f"could not start {name}'s systemd")
    until = time.monotonic() + START_SECONDS
    while not Path(f"/run/user/{who.uid}/bus").exists():
        if time.monotonic() > until:
            raise HostError(
                f"{name}'s systemd did not offer its bus within {START_SECONDS} s (is dbus-user-session there?)"
            )
        time.sleep(0.05)
    return who
