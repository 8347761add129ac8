"""Files that survive a power cut: whole or not at all, and on the disk when the function returns."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from agent import errors

NEW_SUFFIX = ".new"
"""Ending of the unfinished copy beside a file; the next agent that holds the folder's lock removes it."""


@contextlib.contextmanager
def telling(path: Path, doing: str) -> Iterator[None]:
    """Turn an OSError into an error for people that names the file and what was tried."""
    try:
        yield
    except OSError as error:
        raise errors.of_os(error, path, doing) from error


def unfinished(path: Path) -> Path:
    """Where a file is written before it takes its place: in the same folder, hidden."""
    return path.with_name(f".{path.name}{NEW_SUFFIX}")


def read(path: Path, limit: int) -> bytes:
    """The file's bytes, at most `limit` + 1 of them, so that the caller sees when there are too many.

    Raises FileNotFoundError when it is not there and AgentError for all else. Never waits on a pipe or device.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise errors.InputError([f"{path} is not a regular file"], "Put a plain file there")
            data = bytearray()
            while len(data) <= limit and (part := os.read(handle, limit + 1 - len(data))):
                data += part
            return bytes(data)
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise errors.of_os(error, path, errors.READING) from error


def write_all(handle: int, data: bytes) -> None:
    """Write every byte: a single write may take only some of them."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed or removed in the folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def place(path: Path, data: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Put `data` at `path` atomically and durably: whoever reads sees the old bytes or all of the new ones.

    The permissions are `mode` before a single byte is written, so that a secret is never readable by others.
    Raises AgentError; the file is then as it was.
    """
    new = unfinished(path)
    with telling(path, "write it"):
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                if owner is not None and owner != (os.geteuid(), os.getegid()):
                    os.fchown(handle, *owner)
                os.fchmod(handle, mode)
                write_all(handle, data)
                os.fsync(handle)
            finally:
                os.close(handle)
            new.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink()
            raise
        sync_folder(path.parent)


def rename(path: Path, target: Path) -> None:
    """Rename within one folder, durably."""
    with telling(target, f"rename {path.name} to it"):
        path.rename(target)
        sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file, durably; one that is not there is fine."""
    with telling(path, "remove it"):
        try:
            path.unlink()
        except FileNotFoundError:
            return
        sync_folder(path.parent)


def try_writing(folder: Path, size: int) -> None:
    """Prove that `size` bytes can be written in the folder; leaves nothing there."""
    probe = folder / f".space{NEW_SUFFIX}"
    with telling(folder, "write in it"):
        handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            write_all(handle, bytes(size))
            os.fsync(handle)
        finally:
            os.close(handle)
            with contextlib.suppress(OSError):
                probe.unlink()
