"""Accounts that another program on the host (the hub) adds to the broker's: what it may ask for, and what is taken.

It leaves a file {"users": [{"name", "hash", "roles"}], "roles": [{"id", "permissions": [{"topic", "activity"}]}]} in a
folder of its own, `hash` in the form base64(salt):iterations:base64(key). It is believed as little as possible: an
account's rights end below `<kind>/<id>/`, so that whoever writes the file can give no rights over other topics.
"""

import base64
import contextlib
import json
import os
import re
import stat
import time
from typing import Any, Final, NamedTuple

from hostctl import store
from hostctl.errors import HostError
from hostctl.paths import Paths

NAME: Final = "hub.json"
TAKEN: Final = ".taken"
MAX_BYTES: Final = 16 * 2**20
"""Ten thousand devices, as many as the hub knows at most, are about eleven."""
MAX_ITERATIONS: Final = 1_000_000
USER: Final = re.compile(r"[A-Za-z0-9._@~-][A-Za-z0-9._@~ -]{0,126}[A-Za-z0-9._@~-]|[A-Za-z0-9]")
ROLE: Final = re.compile(r"provisioned-[A-Za-z0-9._:-]{1,100}")
"""None of the studio's own roles begins so."""
TOPIC: Final = re.compile(r"[A-Za-z0-9_-]{1,40}/[A-Za-z0-9][A-Za-z0-9._:-]{0,63}(/([A-Za-z0-9_.-]+|\+))*(/#)?")
ACTIVITIES: Final = ("PUBLISH", "SUBSCRIBE")


class Refused(Exception):
    """A file, or an account in it, is not taken; the argument says why."""


class Accepted(NamedTuple):
    """The accounts that are taken, with their roles, and why others are left out (sentences)."""

    users: list[dict[str, Any]]
    roles: list[dict[str, Any]]
    left_out: list[str]


def parse(content: bytes) -> Accepted:
    """What is taken of a file.

    Raises:
        Refused: it is no such file at all.
    """
    try:
        told = json.loads(content)
        users, roles = told["users"], told["roles"]
        if not (isinstance(users, list) and isinstance(roles, list)):
            raise TypeError("users and roles must be lists")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused(f"it is no JSON object with users and roles ({type(error).__name__})") from None
    good: dict[str, dict[str, Any]] = {}
    left_out: list[str] = []
    for role in roles:
        with _leaving_out(left_out):
            good |= _role(role)
    taken: dict[str, dict[str, Any]] = {}
    for user in users:
        with _leaving_out(left_out):
            taken |= _user(user, good, taken)
    used = {role for user in taken.values() for role in user["roles"]}
    return Accepted(list(taken.values()), [role for name, role in good.items() if name in used], left_out)


@contextlib.contextmanager
def _leaving_out(reasons: list[str]) -> Any:
    try:
        yield
    except Refused as error:
        reasons.append(str(error))
    except (KeyError, TypeError, ValueError, AttributeError):
        reasons.append("an entry of another form")


def _role(role: dict[str, Any]) -> dict[str, dict[str, Any]]:
    name, permissions = role["id"], role["permissions"]
    if not ROLE.fullmatch(name) or not permissions:
        raise Refused("a role without a proper id or permissions")
    for permission in permissions:
        if not TOPIC.fullmatch(permission["topic"]) or permission["activity"] not in ACTIVITIES:
            raise Refused(f"the role {name}: it asks for more than topics below <kind>/<id>/")
    if len({tuple(p["topic"].split("/")[:2]) for p in permissions}) != 1:
        raise Refused(f"the role {name}: its topics are those of several devices")
    return {name: {"id": name, "permissions": [{k: p[k] for k in ("topic", "activity")} for p in permissions]}}


def _user(user: dict[str, Any], roles: dict[str, Any], taken: dict[str, Any]) -> dict[str, dict[str, Any]]:
    name, has = user["name"], user["roles"]
    if not USER.fullmatch(name):
        raise Refused(f"a user name has other characters than letters, digits and ._@~-: {ascii(name)[:80]}")
    if name in taken:
        raise Refused(f"the user {name} is there twice")
    if len(has) != 1 or has[0] not in roles:
        raise Refused(f"the user {name}: it has not exactly one known role")
    salt, iterations, key = user["hash"].split(":")
    if not 0 < int(iterations) <= MAX_ITERATIONS or len(base64.b64decode(key, validate=True)) != 64:
        raise Refused(f"the user {name}: its password's hash is of another form")
    base64.b64decode(salt, validate=True)
    return {name: {"name": name, "hash": f"{salt}:{int(iterations)}:{key}", "roles": [has[0]]}}


def take(paths: Paths) -> bool:
    """Take over what was left in the spool; False when nothing was. What is refused changes nothing but the status.

    Raises:
        HostError: the spool cannot be read or emptied.
    """
    taken = paths.spool / TAKEN
    try:
        with contextlib.suppress(FileNotFoundError):
            (paths.spool / NAME).rename(taken)
        content = _read(taken)
        if content is None:
            return False
        _store(paths, content)
        taken.unlink()
    except OSError as error:
        raise HostError(f"the accounts that the hub added cannot be taken over: {error}") from error
    return True


def _read(path: Any) -> bytes | None:
    """The content of a plain file; None when there is none. Its folder belongs to the program that wrote it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"{path} is no file")
        return file.read(MAX_BYTES + 1)


def _store(paths: Paths, content: bytes) -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    try:
        if len(content) > MAX_BYTES:
            raise Refused(f"it is larger than {MAX_BYTES // 2**20} MB")
        accepted = parse(content)
    except Refused as error:
        before = status(paths)
        store.write_json(paths.additions_status, {**before, "refused": str(error), "refused_at": at}, 0o600)
        return
    value = {"users": accepted.users, "roles": accepted.roles}
    store.write_json(paths.additions / NAME, value, 0o600)
    told = {"accounts": len(accepted.users), "left_out": accepted.left_out[:20], "at": at}
    store.write_json(paths.additions_status, {**told, "refused": None}, 0o600)


def status(paths: Paths) -> dict[str, Any]:
    """{"accounts": how many are taken, "left_out": [why], "refused": why the newest file was not taken, "at"}."""
    found = store.read_json(paths.additions_status)
    return found if isinstance(found, dict) else {"accounts": 0, "left_out": [], "refused": None, "at": None}


def accepted(paths: Paths) -> dict[str, list[dict[str, Any]]]:
    """The accounts taken over so far: {"users", "roles"}."""
    found = store.read_json(paths.additions / NAME)
    if isinstance(found, dict):
        return {"users": found.get("users", []), "roles": found.get("roles", [])}
    return {"users": [], "roles": []}
