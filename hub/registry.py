"""The devices the hub knows: listed, renamed, revoked."""

from typing import Any

from sqlalchemy import Connection, select, update

from hub.errors import not_found
from hub.ids import now_ms
from hub.store.database import Work
from hub.store.statements import one, rows
from hub.store.tables import devices, enrolment_tokens

d = devices.c
t = enrolment_tokens.c
SHOWN = (
    d.device_id,
    d.kind,
    d.alias,
    d.site,
    d.created_at,
    d.registered_at,
    d.revoked_at,
    d.last_seen_at,
    d.status,
    d.battery_pct,
    d.network_type,
    d.uptime_s,
)


def listed(limit: int, after: str = "") -> Work[list[dict[str, Any]]]:
    """Up to `limit` devices whose id comes after `after`, in the order of their ids."""
    return lambda conn: rows(conn, select(*SHOWN).where(d.device_id > after).order_by(d.device_id).limit(limit))


def alias(device_id: str) -> Work[str | None]:
    """The device's alias; None also when there is no such device."""
    return lambda conn: conn.execute(select(d.alias).where(d.device_id == device_id)).scalar()


def change(device_id: str, values: dict[str, Any]) -> Work[dict[str, Any]]:
    """Set alias and site. Raises Refused when there is no such device."""

    def work(conn: Connection) -> dict[str, Any]:
        if values:
            conn.execute(update(devices).where(d.device_id == device_id).values(**values))
        found = one(conn, select(*SHOWN).where(d.device_id == device_id))
        if found is None:
            raise not_found("device", device_id)
        return found

    return work


def revoke(device_id: str) -> Work[str | None]:
    """The device's token is good no more, nor those it was enrolled with; its id.

    Raises Refused when there is no such device.
    """

    def work(conn: Connection) -> str | None:
        found = one(conn, select(d.token_id).where(d.device_id == device_id))
        if found is None:
            raise not_found("device", device_id)
        gone = {"revoked_at": now_ms()}
        conn.execute(update(devices).where(d.device_id == device_id, d.revoked_at.is_(None)).values(gone))
        conn.execute(update(enrolment_tokens).where(t.consumed_by == device_id, t.revoked_at.is_(None)).values(gone))
        return str(found["token_id"]) if found["token_id"] else None

    return work


def forget_fcm_token(device_id: str, token: str) -> Work[None]:
    """The token is good no more; a newer one that the device sent meanwhile stays."""
    statement = update(devices).where(d.device_id == device_id, d.fcm_token == token).values(fcm_token=None)

    def work(conn: Connection) -> None:
        conn.execute(statement)

    return work
