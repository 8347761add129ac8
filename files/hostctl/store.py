"""Files that are there whole or not at all: written beside, synced, renamed."""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any


def sync_folder(folder: Path) -> None:
    """Make renames and new names in a folder survive a power loss."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path, mode: int = 0o755) -> None:
    """Make a folder and those above it; the last one gets exactly `mode`."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o7777 != mode:
        folder.chmod(mode)


def write(path: Path, content: bytes, mode: int = 0o644, owner: tuple[int, int] | None = None) -> bool:
    """Replace a file by rename, with its mode and owner from the first byte on; False when nothing differs."""
    with contextlib.suppress(OSError):
        stat = path.stat()
        same_owner = owner is None or owner == (stat.st_uid, stat.st_gid)
        if stat.st_mode & 0o7777 == mode and same_owner and path.read_bytes() == content:
            return False
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.parent / f".{path.name}.{os.getpid()}"
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return True


def write_json(path: Path, value: Any, mode: int = 0o644) -> bool:
    return write(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode(), mode)


def read_json(path: Path) -> Any:
    """The JSON value of a file, or None when it is missing or half a file."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def link(path: Path, target: str) -> bool:
    """Make `path` a symbolic link to `target`, replacing what it was by rename; False when it is one already."""
    if path.is_symlink() and str(path.readlink()) == target:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.parent / f".{path.name}.{os.getpid()}"
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.rename(path)
    sync_folder(path.parent)
    return True


def remove(path: Path) -> None:
    """Remove a file or link if it is there, durably."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync_folder(path.parent)


def sha256(path: Path) -> str | None:
    """The SHA-256 of a file in hex, or None when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def short_hash(value: Any) -> str:
    """16 hex digits of the SHA-256 of a JSON value, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:16]
