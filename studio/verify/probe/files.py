"""Files as they are on the disk: kinds, owners, modes, hashes."""

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

BASE = Path("/var/lib/sensor-pipeline")
UNITS = Path("/etc/containers/systemd/users")


def entry(path: Path) -> dict[str, Any]:
    """Kind, mode, owner and target of a path; `kind` is `absent` when it is not there."""
    try:
        found = path.lstat()
    except OSError:
        return {"kind": "absent"}
    kind = "link" if stat.S_ISLNK(found.st_mode) else "folder" if stat.S_ISDIR(found.st_mode) else "file"
    told: dict[str, Any] = {
        "kind": kind,
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "uid": found.st_uid,
        "gid": found.st_gid,
    }
    if kind == "link":
        told["target"] = str(path.readlink())
    return told


def below(folder: Path, *, hashes: bool = False) -> dict[str, dict[str, Any]]:
    """Everything below a folder by its path relative to it, the folder itself as `.`."""
    found = {".": entry(folder)}
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(where, name)
            told = entry(path)
            if hashes and told["kind"] == "file":
                told["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(folder))] = told
    return found


def tree(uid: int | None, folders: list[str]) -> dict[str, Any]:
    """The product's folders on the host."""
    current = BASE / "current"
    return {
        "base": entry(BASE),
        "generations": entry(BASE / "generations"),
        "current": entry(current),
        "generation": below(current.resolve(), hashes=True) if current.is_symlink() else {},
        "secrets": below(BASE / "secrets"),
        "state": below(BASE / "state"),
        "extensions": below(BASE / "extensions"),
        "folders": {folder: entry(Path(folder)) for folder in folders},
        "quadlets": entry(UNITS / str(uid) / "sensor-pipeline") if uid is not None else {"kind": "absent"},
    }


def manifest() -> str:
    """The text of the manifest that is in use; empty when there is none."""
    try:
        return (BASE / "current" / "manifest.json").read_text()
    except OSError:
        return ""
