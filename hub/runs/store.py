"""Runs in the database. Every change is idempotent by request id."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select, update

from hub.errors import Refused, not_found
from hub.ids import now_ms
from hub.store.database import Work
from hub.store.statements import insert_new, one, rows
from hub.store.tables import devices, runs

ACTIVE: Final = ("queued", "sent", "running")
SAME: Final = ("device_id", "action", "params")
r = runs.c
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    request_id: str
    device_id: str
    action: str
    params: str
    """JSON"""
    protocol: str | None
    """None: what the device can be reached by."""
    timeout_ms: int


def _made(conn: Connection, wanted: Command, *, fcm: bool) -> Row:
    device = one(conn, select(devices).where(devices.c.device_id == wanted.device_id))
    if device is None:
        raise not_found("device", wanted.device_id)
    if device["revoked_at"] is not None:
        raise Refused(409, "device_revoked", f"The device {wanted.device_id!r} is revoked.")
    if wanted.protocol == "fcm" and not fcm:
        raise Refused(409, "no_fcm", "FCM is not set up (HUB_FCM_CREDENTIALS_FILE); use protocol mqtt.")
    return {
        "request_id": wanted.request_id,
        "device_id": wanted.device_id,
        "site": device["site"],
        "action": wanted.action,
        "params": wanted.params,
        "protocol": wanted.protocol or ("fcm" if fcm and device["fcm_token"] else "mqtt"),
        "status": "queued",
        "bytes": 0,
        "chunks": 0,
        "timeout_ms": wanted.timeout_ms,
        "created_at": now_ms(),
    }


def create(wanted: Command, *, fcm: bool) -> Work[tuple[Row, bool]]:
    """Make a run; (the run, False) when this very command made it before, whatever became of the device since.

    `fcm`: it is set up. Raises Refused.
    """

    def work(conn: Connection) -> tuple[Row, bool]:
        found = one(conn, select(runs).where(r.request_id == wanted.request_id))
        if found is None:
            if insert_new(conn, runs, _made(conn, wanted, fcm=fcm)):
                return get(conn, wanted.request_id), True
            found = get(conn, wanted.request_id)
        same = all(found[key] == getattr(wanted, key) for key in SAME)
        if not same or wanted.protocol not in {None, found["protocol"]}:
            raise Refused(409, "request_id_used", "This request id belongs to another command.")
        return found, False

    return work


def get(conn: Connection, request_id: str) -> Row:
    """Raises Refused (404)."""
    found = one(conn, select(runs).where(r.request_id == request_id))
    if found is None:
        raise not_found("run", request_id)
    return found


def target(request_id: str) -> Work[Row]:
    """What a dispatch needs of the run and its device: also kind, alias, fcm_token, revoked_at."""
    d = devices.c
    columns = (runs, d.kind, d.alias, d.fcm_token, d.revoked_at)
    statement = select(*columns).join(devices, d.device_id == r.device_id).where(r.request_id == request_id)

    def work(conn: Connection) -> Row:
        found = one(conn, statement)
        if found is None:
            raise not_found("run", request_id)
        return found

    return work


def sent(request_id: str) -> Work[Row]:
    """The command left; the run, which may have gone on or ended already."""

    def work(conn: Connection) -> Row:
        change = update(runs).where(r.request_id == request_id, r.status.in_(ACTIVE)).values(sent_at=now_ms())
        conn.execute(change)
        queued = update(runs).where(r.request_id == request_id, r.status == "queued")
        conn.execute(queued.values(status="sent"))
        return get(conn, request_id)

    return work


def end(request_id: str, status: str, error: str | None) -> Work[Row | None]:
    """End a run from the hub's side; the run, or None when it had ended."""

    def work(conn: Connection) -> Row | None:
        change = update(runs).where(r.request_id == request_id, r.status.in_(ACTIVE))
        if not conn.execute(change.values(status=status, error=error, ended_at=now_ms())).rowcount:
            return None
        return get(conn, request_id)

    return work


def active() -> Work[list[Row]]:
    return lambda conn: rows(conn, select(runs).where(r.status.in_(ACTIVE)).order_by(r.created_at))


def listed(limit: int) -> Work[list[Row]]:
    return lambda conn: rows(conn, select(runs).order_by(r.created_at.desc(), r.request_id).limit(limit))
