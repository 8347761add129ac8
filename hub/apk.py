"""APK builds: files named by their SHA-256, so what was uploaded is what is served; downloads leave one row each."""

import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, select, update

from hub.errors import Refused, not_found
from hub.ids import now_ms
from hub.store.database import Work
from hub.store.statements import insert_new, one, rows
from hub.store.tables import apk_builds, apk_download_events

CONTENT_TYPE: Final = "application/vnd.android.package-archive"
ZIP_MAGIC: Final = b"PK\x03\x04"
b = apk_builds.c


def path_of(folder: Path, sha256: str) -> Path:
    return folder / f"{sha256}.apk"


async def store(folder: Path, body: AsyncIterator[bytes]) -> tuple[str, int]:
    """Write an upload; its SHA-256 and size. It has its name only when it is whole and on disk.

    Raises Refused (422) when it is no APK, (507) when it cannot be written.
    """
    digest, size, start = hashlib.sha256(), 0, b""
    partial = folder / f".{secrets.token_hex(8)}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            async for part in body:
                start = start if len(start) >= len(ZIP_MAGIC) else (start + part)[:4]
                digest.update(part)
                size += file.write(part)
            file.flush()
            os.fsync(file.fileno())
        if start != ZIP_MAGIC:
            raise Refused(422, "not_an_apk", "The body is no APK (it does not begin as a ZIP archive).")
        partial.replace(path_of(folder, digest.hexdigest()))
        _sync_folder(folder)
    except OSError as error:
        raise Refused(507, "not_stored", f"The file could not be stored: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return digest.hexdigest(), size


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def add(values: dict[str, Any]) -> Work[dict[str, Any]]:
    """Add a build. The same build again is the one that is there; another file for its version is refused (409)."""

    def work(conn: Connection) -> dict[str, Any]:
        row = {"build_id": secrets.token_hex(8), "created_at": now_ms(), **values}
        if insert_new(conn, apk_builds, row):
            return row
        same_version = (b.version_code == values["version_code"], b.build_type == values["build_type"])
        found = one(conn, select(apk_builds).where(*same_version))
        if found is None or found["sha256"] != values["sha256"]:
            raise Refused(409, "version_exists", "This version and type was uploaded before, as another file.")
        return found

    return work


def listed() -> Work[list[dict[str, Any]]]:
    return lambda conn: rows(conn, select(apk_builds).order_by(b.version_code.desc(), b.build_type).limit(1000))


def retire(build_id: str) -> Work[None]:
    """Serve it no more. Raises Refused when there is no such build."""

    def work(conn: Connection) -> None:
        if one(conn, select(b.build_id).where(b.build_id == build_id)) is None:
            raise not_found("APK build", build_id)
        conn.execute(
            update(apk_builds).where(b.build_id == build_id, b.retired_at.is_(None)).values(retired_at=now_ms())
        )

    return work


def latest(build_type: str) -> Work[dict[str, Any] | None]:
    statement = select(apk_builds).where(b.build_type == build_type, b.retired_at.is_(None))
    return lambda conn: one(conn, statement.order_by(b.version_code.desc()).limit(1))


def downloaded(event: dict[str, Any], *, resumed: bool) -> Work[bool]:
    """Note a download; False when it goes on with one that was noted before."""

    def work(conn: Connection) -> bool:
        e = apk_download_events.c
        if resumed and one(conn, select(e.id).where(e.build_id == event["build_id"], e.actor == event["actor"])):
            return False
        conn.execute(apk_download_events.insert().values(created_at=now_ms(), **event))
        return True

    return work
