"""What changes a device. Each may be killed anywhere, and run again does the rest."""

import contextlib
import fcntl
import json
import os
import pwd
import shutil
from collections.abc import Iterator
from typing import Any, Final

from devicectl import facts, service, version
from devicectl.paths import ACCOUNT, UNIT, Paths
from hostctl import store
from hostctl.errors import HostError
from hostctl.run import must, run

DEVICES: Final = ".provision.devices"
"""Where the agent remembers what it was at each server; the hub has a key and an account for each provisioning."""


@contextlib.contextmanager
def locked(paths: Paths) -> Iterator[None]:
    """One deploy at a time; the lock is on a folder that stays, so that nothing is left behind."""
    handle = os.open(paths.units, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def apply(paths: Paths, order: dict[str, Any]) -> str:
    """Have a version in use and, with a `request`, the device provisioned; says what was done.

    order: {"version", "package" (or null: it is there), "request" (provision.json, or null), "first" (the
    thermal_config.json of a device that has none)}. A version that does not come up is taken back.
    """
    with locked(paths):
        before = version.in_use(paths)
        wanted: str = order["version"]
        if order["package"]:
            version.put(paths, wanted, order["package"])
        version.switch(paths, wanted)
        service.register()
        if order["request"]:
            _ask(paths, order["request"], order["first"])
        try:
            service.restart(paths, wanted, provisioning=bool(order["request"]))
        except HostError as error:
            if order["request"] or before in (None, wanted) or not (paths.versions / str(before)).is_dir():
                raise
            _back(paths, str(before), error)
        version.prune(paths)
    return f"version {wanted} runs" + (", the device is provisioned" if order["request"] else "")


def _back(paths: Paths, before: str, why: HostError) -> None:
    version.switch(paths, before)
    service.register()
    service.restart(paths, before, provisioning=False)
    raise HostError(f"{why}; version {before}, which was there before, runs again") from why


def _ask(paths: Paths, request: dict[str, Any], first: dict[str, Any]) -> None:
    """Ask the agent to provision itself at its next start; the marker goes last."""
    owner = _owner()
    store.make_folder(paths.data, 0o700)
    os.chown(paths.data, *owner)
    config = paths.data / "thermal_config.json"
    if not os.path.lexists(config):
        store.write(config, _text(first), 0o600, owner)
    # The hub ended the account that the device had: there is none to go back to.
    store.remove(paths.data / DEVICES)
    store.write(paths.data / "provision.json", _text(request), 0o600, owner)
    store.write(paths.data / "provision.txt", b"", 0o600, owner)


def _owner() -> tuple[int, int]:
    entry = pwd.getpwnam(ACCOUNT)
    return entry.pw_uid, entry.pw_gid


def mark(paths: Paths) -> str:
    """Note on a device that has the agent that it is to be provisioned, before the hub ends the account it has.

    Until its provision.json comes, the agent goes on with what it has; and a deploy that was killed then is finished
    by the next one, which finds the note.
    """
    with locked(paths):
        if paths.data.is_dir() and not run(["getent", "passwd", ACCOUNT]).code:
            store.write(paths.data / "provision.txt", b"", 0o600, _owner())
    return "provisioning is noted"


def settle(paths: Paths) -> str:
    """Remove the key with which the device provisioned itself, and its credentials but where it works with them."""
    with locked(paths):
        store.remove(paths.data / DEVICES)
        store.remove(paths.data / "provision.json")
    return "the key is removed"


def remove(paths: Paths, *, keep_data: bool) -> str:
    """Remove the agent; its folder and account stay with `keep_data`, since the files there are the account's."""
    with locked(paths):
        run(["systemctl", "disable", "--now", "--quiet", UNIT])
        store.remove(paths.unit)
        must(["systemctl", "daemon-reload"], "could not make systemd forget the unit")
        run(["systemctl", "reset-failed", UNIT])
        store.remove(paths.command)
        shutil.rmtree(paths.program, ignore_errors=True)
        if not keep_data:
            shutil.rmtree(paths.drop_ins, ignore_errors=True)
            shutil.rmtree(paths.data, ignore_errors=True)
            run(["userdel", ACCOUNT])
            run(["groupdel", ACCOUNT])
            store.remove(paths.users)
        kept = (
            {str(paths.data), str(paths.drop_ins), str(paths.users), f"the account {ACCOUNT}"} if keep_data else set()
        )
        if still := [place for place in facts.left(paths) if place not in kept]:
            raise HostError(f"could not remove {', '.join(still)}")
    return "the agent is removed" + (f"; {paths.data} is kept" if keep_data else "")


def _text(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2) + "\n").encode()
