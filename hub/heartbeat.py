"""Heartbeats: stored once, however often they are sent."""

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from hub.ids import now_ms
from hub.store.database import Work
from hub.store.tables import devices, heartbeats, insert_new, one


@dataclass(frozen=True, slots=True)
class Heartbeat:
    device_id: str
    request_id: str
    status: str
    battery_pct: int | None
    network_type: str | None
    uptime_s: int | None
    heartbeat_id: str | None
    fcm_token: str | None

    @property
    def content(self) -> str:
        """What two heartbeats have in common when one is the other sent again."""
        text = repr((self.status, self.battery_pct, self.network_type, self.uptime_s))
        return hashlib.sha256(text.encode()).hexdigest()


_last = select(devices.c.heartbeat_hash, devices.c.heartbeat_at).where(devices.c.device_id == bindparam("d"))
_last_locked = _last.with_for_update()
_seen = update(devices).where(devices.c.device_id == bindparam("d"))
_insert = heartbeats.insert()


def ingest(beat: Heartbeat, dedup_ms: float) -> Work[bool]:
    """Store a heartbeat; False when it was there: the same id, or without id the same content within `dedup_ms`."""

    def work(conn: Connection) -> bool:
        now = now_ms()
        row = conn.execute(_last_locked, {"d": beat.device_id}).first()
        values: dict[str, Any] = {
            "device_id": beat.device_id,
            "heartbeat_id": beat.heartbeat_id,
            "request_id": beat.request_id,
            "received_at": now,
            "status": beat.status,
            "battery_pct": beat.battery_pct,
            "network_type": beat.network_type,
            "uptime_s": beat.uptime_s,
        }
        if beat.heartbeat_id is not None:
            fresh = insert_new(conn, heartbeats, values)
        else:
            fresh = row is None or row[0] != beat.content or not 0 <= now - (row[1] or 0) < dedup_ms
            if fresh:
                conn.execute(_insert, values)
        if fresh:
            _update_device(conn, beat, now)
        return fresh

    return work


def _update_device(conn: Connection, beat: Heartbeat, now: int) -> None:
    values = {
        "last_seen_at": now,
        "status": beat.status,
        "battery_pct": beat.battery_pct,
        "network_type": beat.network_type,
        "uptime_s": beat.uptime_s,
        "heartbeat_hash": beat.content,
        "heartbeat_at": now,
    }
    if beat.fcm_token is not None:
        values["fcm_token"] = beat.fcm_token
    conn.execute(_seen, {"d": beat.device_id, **values})


def latest(device_id: str) -> Work[dict[str, Any] | None]:
    """The newest heartbeat of a device."""
    h = heartbeats.c
    return lambda conn: one(conn, select(heartbeats).where(h.device_id == device_id).order_by(h.id.desc()).limit(1))
