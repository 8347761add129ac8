"""APK builds in the database; downloads leave one row each. Their files are in `apk_files`."""

import secrets
from typing import Any, Final

from sqlalchemy import Connection, or_, select, update

from hub.errors import Refused, not_found
from hub.ids import now_ms
from hub.store.database import Work
from hub.store.statements import insert_new, one, rows
from hub.store.tables import apk_builds, apk_download_events

CONTENT_TYPE: Final = "application/vnd.android.package-archive"
b = apk_builds.c


def add(values: dict[str, Any]) -> Work[dict[str, Any]]:
    """Add a build. The same build again is the one that is there, served again if it was retired.

    Raises Refused (409) when the version was uploaded as another file.
    """

    def work(conn: Connection) -> dict[str, Any]:
        row = {"build_id": secrets.token_hex(8), "created_at": now_ms(), "retired_at": None, **values}
        if insert_new(conn, apk_builds, row):
            return row
        same_version = (b.version_code == values["version_code"], b.build_type == values["build_type"])
        found = one(conn, select(apk_builds).where(*same_version))
        if found is None or found["sha256"] != values["sha256"]:
            told = "This version and type was uploaded before, as another file; give this one a new version code."
            raise Refused(409, "version_exists", told)
        conn.execute(update(apk_builds).where(b.build_id == found["build_id"]).values(retired_at=None))
        return found | {"retired_at": None}

    return work


def needed(retired_after: int) -> Work[set[str]]:
    """The SHA-256 of the builds that are served, or were retired after a time (ms)."""
    statement = select(b.sha256).where(or_(b.retired_at.is_(None), b.retired_at > retired_after))
    return lambda conn: set(conn.execute(statement).scalars())


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


def downloaded(event: dict[str, Any], part: int | None) -> Work[bool]:
    """Note a download; False when it goes on with the one that was noted last.

    `part` is the first byte that is asked for, None when it is all. Parts come in any order, also at once, and again:
    only one that begins at 0 where such a part was there before begins another download.
    """
    e = apk_download_events.c

    def work(conn: Connection) -> bool:
        # One after the other: SQLite does so in any case.
        conn.execute(select(b.build_id).where(b.build_id == event["build_id"]).with_for_update())
        if part is not None:
            own = select(e.id, e.first_byte).where(e.build_id == event["build_id"], e.actor == event["actor"])
            last = one(conn, own.order_by(e.id.desc()).limit(1))
            if last is not None and (part or last["first_byte"]):
                first = min(part, last["first_byte"])
                conn.execute(update(apk_download_events).where(e.id == last["id"]).values(first_byte=first))
                return False
        conn.execute(apk_download_events.insert().values(created_at=now_ms(), first_byte=part or 0, **event))
        return True

    return work
