"""Folders of the host that a container writes to: each belongs to the container's own user, and to nothing else."""

import grp
import os
from pathlib import Path
from typing import Any

from hostctl import store
from hostctl.errors import HostError
from hostctl.manifest import Manifest
from hostctl.paths import Paths
from hostctl.run import Account
from hostctl.system import inside_uid, own_ids


def _declared(wanted: Manifest) -> list[dict[str, Any]]:
    return [folder for component in wanted.components for folder in component.facts.get("folders", [])]


def _at(paths: Paths, folder: dict[str, Any]) -> Path:
    return paths.root / str(folder["path"]).lstrip("/")


def _group(folder: dict[str, Any]) -> int:
    return grp.getgrnam(folder["group"]).gr_gid if folder["group"] else 0


def _owner(who: Account | None, folder: dict[str, Any]) -> int | None:
    """The user id that a folder is to have; None while the account is not there or has no subordinate ids."""
    if who is None or (folder["uid"] and not own_ids(who)):
        return None
    return inside_uid(who, folder["uid"])


def _is_right(at: Path, folder: dict[str, Any], who: Account) -> bool:
    try:
        found = at.lstat()
    except OSError:
        return False
    wanted = (0o040000 | int(folder["mode"], 8), _owner(who, folder), _group(folder))
    return (found.st_mode, found.st_uid, found.st_gid) == wanted


def wrong(paths: Paths, wanted: Manifest, who: Account | None) -> list[str]:
    """Those that are missing, or belong to somebody else."""
    if who is None:
        return []
    return [f["path"] for f in _declared(wanted) if not _is_right(_at(paths, f), f, who)]


def foreign(paths: Paths, wanted: Manifest, who: Account | None) -> list[str]:
    """Those that were there before and hold what is not ours: giving them away would take them from their owner."""
    found = []
    for folder in _declared(wanted):
        at = _at(paths, folder)
        ours = _owner(who, folder)
        other_kind = at.is_symlink() or (at.exists() and not at.is_dir())
        if other_kind or (at.is_dir() and at.stat().st_uid != ours and any(at.iterdir())):
            found.append(folder["path"])
    return found


def place(paths: Paths, wanted: Manifest, who: Account) -> None:
    """Make them, and give them to the containers' users.

    Raises:
        HostError: one holds what is not ours.
    """
    if taken := foreign(paths, wanted, who):
        raise HostError(f"{', '.join(taken)}: something else has this folder; name another one in the inventory")
    for folder in _declared(wanted):
        at = _at(paths, folder)
        if _is_right(at, folder, who):
            continue
        at.mkdir(parents=True, exist_ok=True)
        os.chown(at, inside_uid(who, folder["uid"]), _group(folder))
        at.chmod(int(folder["mode"], 8))
        store.sync_folder(at.parent)
