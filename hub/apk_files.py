"""The files of APK builds, named by their SHA-256: written whole or not at all, and removed when no build needs them.

Who writes a file holds a lock on it (flock) until its build is in the database; what is locked is never removed.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from hub import apk
from hub.durable import sync
from hub.errors import Refused
from hub.ids import now_ms
from hub.store import Database

ZIP_MAGIC: Final = b"PK\x03\x04"
STILL_SERVED_MS: Final = 3_600_000
"""So long after a build was retired its file is there for downloads that were about to begin."""


def path_of(folder: Path, sha256: str) -> Path:
    return folder / f"{sha256}.apk"


class ApkFiles:
    def __init__(self, folder: Path, db: Database) -> None:
        self._folder = folder
        self._db = db
        self._naming = asyncio.Lock()
        """Held while a file has its name and its build may not be in the database yet, and while files are removed."""

    async def add(self, body: AsyncIterator[bytes], values: dict[str, Any]) -> dict[str, Any]:
        """Store an upload and its build, both or neither; the build.

        Raises Refused: (422) it is no APK, (507) it cannot be written, (409) the version is another file.
        """
        try:
            with self._partial() as (partial, file):
                sha256, size = await _write(file, body)
                async with self._naming:
                    await asyncio.to_thread(_name, partial, path_of(self._folder, sha256))
                    try:
                        return await self._db.write(apk.add({**values, "sha256": sha256, "size": size}))
                    except Refused:
                        file.close()
                        await self._remove([path_of(self._folder, sha256)])
                        raise
        except OSError as error:
            raise Refused(507, "not_stored", f"The file could not be stored: {error.strerror}.") from error

    async def clean(self) -> int:
        """Remove what no build needs and nobody is uploading; how many files it were."""
        async with self._naming:
            left = [*self._folder.glob("*.apk"), *self._folder.glob(".*.partial")]
            return await self._remove(left) if left else 0

    async def _remove(self, paths: list[Path]) -> int:
        used = await self._db.read(apk.needed(now_ms() - STILL_SERVED_MS))
        useless = [path for path in paths if path.stem not in used]
        return await asyncio.to_thread(lambda: sum(map(_remove_unlocked, useless)))

    @contextlib.contextmanager
    def _partial(self) -> Iterator[tuple[Path, BinaryIO]]:
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f".{secrets.token_hex(8)}.partial"
        try:
            with partial.open("xb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield partial, file
        finally:
            partial.unlink(missing_ok=True)


async def _write(file: BinaryIO, body: AsyncIterator[bytes]) -> tuple[str, int]:
    """SHA-256 and size of what was written. Raises Refused (422) when it is no APK.

    A slow card stops the thread that waits for it, and nothing else.
    """
    digest, size, start = hashlib.sha256(), 0, b""
    async for part in body:
        start = start if len(start) >= len(ZIP_MAGIC) else (start + part)[:4]
        digest.update(part)
        size += await asyncio.to_thread(file.write, part)
    await asyncio.to_thread(_to_disk, file)
    if start != ZIP_MAGIC:
        raise Refused(422, "not_an_apk", "The body is no APK (it does not begin as a ZIP archive).")
    return digest.hexdigest(), size


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _name(partial: Path, named: Path) -> None:
    partial.replace(named)
    sync(named.parent)


def _remove_unlocked(path: Path) -> bool:
    """Whether it was removed; who reads it goes on reading."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            return True
        finally:
            os.close(fd)
    return False
