"""`thermal_config.json`: read it strictly, put new credentials into it, replace it without ever corrupting it."""

import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from agent import clock, durable, errors, strictjson

FILE = "thermal_config.json"
BACKUPS = "backups"
KEPT_BACKUPS = 10
OWN_KEYS = (
    "server",
    "credentials_type",
    "client_id",
    "username",
    "password",
    "ca_certificate",
    "certificate",
    "private_key",
    "allow_plaintext",
)
ADVICE = f"Correct {FILE}, or take it away to begin with an empty one; it was not touched"


class Stored(NamedTuple):
    """The configuration as it is on the disk."""

    values: Mapping[str, Any]
    data: bytes
    mode: int
    owner: tuple[int, int]


def load(folder: Path) -> Stored | None:
    """The stored configuration, None when there is none; raises InputError when it is not a JSON object."""
    path = folder / FILE
    try:
        found = path.lstat()
        data = durable.read(path, strictjson.LIMIT)
    except FileNotFoundError:
        if path.is_symlink():
            raise _symlink(path) from None
        return None
    except OSError as error:
        raise errors.of_os(error, path, errors.READING) from error
    try:
        values = strictjson.parse(data)
    except ValueError as error:
        raise errors.InputError([f"{path} is not usable: {error}"], ADVICE) from None
    return Stored(values, data, stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid))


def check_replaceable(folder: Path, stored: Stored | None) -> None:
    """Raise AgentError when the configuration could not be replaced later; asked before a device is made."""
    path = folder / FILE
    if path.is_symlink():
        raise _symlink(path)
    if stored is not None and not stored.mode & 0o222:
        raise errors.PermissionsError(
            f"{path} is read-only (mode {stored.mode:04o})", f"Allow its owner to write: chmod u+w {path}"
        )
    if stored is not None and os.geteuid() != 0:
        _check_owner(path, *stored.owner)
    backups = folder / BACKUPS
    with durable.telling(backups, "make the folder"):
        if not backups.is_dir():
            backups.mkdir(0o700)
            durable.sync_folder(folder)
    for place in (backups, folder):
        durable.try_writing(place, 2 * strictjson.LIMIT)


def _check_owner(path: Path, user: int, group: int) -> None:
    # Whoever is not root can give a new file away to nobody, so the old owner could not be kept.
    if user != os.geteuid():
        told = f"{path} belongs to user {user}, the agent runs as user {os.geteuid()}"
    elif group not in {os.getegid(), *os.getgroups()}:
        told = f"{path} belongs to group {group}, which the agent's account is not in"
    else:
        return
    raise errors.PermissionsError(told, f"Give it to the agent's account: chown {os.geteuid()}:{os.getegid()} {path}")


def _symlink(path: Path) -> errors.AgentError:
    return errors.InputError(
        [f"{path} is a symbolic link to {path.readlink()}"],
        "Put the file itself there: a link cannot be replaced atomically",
    )


def merged(old: Mapping[str, Any], name: str, platform: str, mqtt: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with new credentials; every key that is not the agent's stays as it was."""
    part = old.get("mqtt")
    kept = {k: v for k, v in part.items() if k not in OWN_KEYS} if isinstance(part, dict) else {}
    return {**old, "device_name": name, "platform": platform, "mqtt": {**kept, **mqtt}}


def to_bytes(values: Mapping[str, Any]) -> bytes:
    """The file's bytes: indented for people, or without a blank where only so it can be read again."""
    data = _dumped(values, indent=2)
    return data if len(data) <= strictjson.LIMIT else _dumped(values, separators=(",", ":"))


def _dumped(values: Mapping[str, Any], **form: Any) -> bytes:
    # Half a surrogate pair, which UTF-8 has no bytes for, becomes the escape that JSON has for it.
    text = json.dumps(values, allow_nan=False, ensure_ascii=False, **form) + "\n"
    return text.encode("utf-8", "backslashreplace")


def check_readable(folder: Path, values: Mapping[str, Any]) -> None:
    """Raise InputError when the file with these values would be too large to be read again."""
    size = len(to_bytes(values))
    if size > strictjson.LIMIT:
        told = f"{folder / FILE} would be {size} bytes with the new credentials; {strictjson.LIMIT} can be read"
        raise errors.InputError([told], f"Take some of your own keys out of {FILE}; it was not touched")


def _versions(backups: Path) -> list[tuple[int, Path]]:
    pattern = re.compile(re.escape(FILE) + r"\.v(\d{6,})\.\d{8}T\d{6}Z")
    found = ((pattern.fullmatch(p.name), p) for p in backups.iterdir())
    return sorted((int(match[1]), path) for match, path in found if match)


def back_up(folder: Path, stored: Stored) -> Path:
    """A copy of the configuration with version and time in its name, mode 0600; the newest ten are kept.

    When the newest backup has the same bytes already (the agent was interrupted after it), that one is the backup.
    """
    backups = folder / BACKUPS
    with durable.telling(backups, "list it"):
        versions = _versions(backups)
    if versions and durable.read(versions[-1][1], strictjson.LIMIT) == stored.data:
        return versions[-1][1]
    number = versions[-1][0] + 1 if versions else 1
    path = backups / f"{FILE}.v{number:06d}.{clock.compact()}"
    durable.place(path, stored.data, 0o600)
    for _, old in versions[: max(0, len(versions) + 1 - KEPT_BACKUPS)]:
        durable.remove(old)
    return path


def install(folder: Path, stored: Stored | None, values: Mapping[str, Any]) -> None:
    """Replace the configuration, keeping owner and mode; a new one is for the agent's account alone."""
    mode, owner = (stored.mode, stored.owner) if stored else (0o600, None)
    durable.place(folder / FILE, to_bytes(values), mode, owner)
