"""Heartbeats: stored once, however often they are sent."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, func, select, update

from hub.ids import now_ms
from hub.store.database import Database, Work
from hub.store.grouped import Grouped
from hub.store.statements import execute_many, insert_new_ones
from hub.store.tables import devices, heartbeats


class Heartbeat(NamedTuple):
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


class Heartbeats(Grouped[Heartbeat, bool]):
    """`store` stores a heartbeat; False when it was there: sent before, or again within `dedup_ms`."""

    def __init__(self, db: Database, dedup_ms: float) -> None:
        super().__init__(db, lambda beats: ingest(beats, dedup_ms))


_insert = heartbeats.insert()
_last = select(devices.c.device_id, devices.c.heartbeat_hash, devices.c.heartbeat_at).where(
    devices.c.device_id.in_(bindparam("ids", expanding=True))
)
_last_locked = _last.order_by(devices.c.device_id).with_for_update()
_SEEN: Final = ("last_seen_at", "status", "battery_pct", "network_type", "uptime_s", "heartbeat_hash", "heartbeat_at")
_seen = (
    update(devices)
    .where(devices.c.device_id == bindparam("d"))
    .values({name: bindparam(name) for name in _SEEN})
    .values(fcm_token=func.coalesce(bindparam("new_token"), devices.c.fcm_token))
)


def ingest(beats: Sequence[Heartbeat], dedup_ms: float) -> Work[list[bool]]:
    """Store heartbeats; False for each that was there: the same id, or without id the same content in `dedup_ms`."""

    def work(conn: Connection) -> list[bool]:
        now = now_ms()
        fresh = _store_named(conn, beats, now)
        anonymous = [n for n, beat in enumerate(beats) if beat.heartbeat_id is None]
        if anonymous:
            ids = sorted({beat.device_id for beat in beats})
            last = {row[0]: (row[1], row[2]) for row in conn.execute(_last_locked, {"ids": ids})}
            for n in anonymous:
                content, at = last.get(beats[n].device_id, (None, None))
                fresh[n] = content != beats[n].content or not 0 <= now - (at or 0) < dedup_ms
                if fresh[n]:
                    last[beats[n].device_id] = (beats[n].content, now)
            execute_many(conn, _insert, [_row(beats[n], now) for n in anonymous if fresh[n]])
        _update_devices(conn, [beat for beat, new in zip(beats, fresh, strict=True) if new], now)
        return fresh

    return work


def _store_named(conn: Connection, beats: Sequence[Heartbeat], now: int) -> list[bool]:
    """Store those that have an id; False for the others too."""
    named = [_row(beat, now) for beat in beats if beat.heartbeat_id is not None]
    fresh = iter(insert_new_ones(conn, heartbeats, named, (heartbeats.c.device_id, heartbeats.c.heartbeat_id)))
    return [beat.heartbeat_id is not None and next(fresh) for beat in beats]


def _row(beat: Heartbeat, now: int) -> dict[str, Any]:
    return {
        "device_id": beat.device_id,
        "heartbeat_id": beat.heartbeat_id,
        "request_id": beat.request_id,
        "received_at": now,
        "status": beat.status,
        "battery_pct": beat.battery_pct,
        "network_type": beat.network_type,
        "uptime_s": beat.uptime_s,
    }


def _update_devices(conn: Connection, beats: Sequence[Heartbeat], now: int) -> None:
    """What is known of each device is what its newest heartbeat says. Rows are locked in the order of their ids."""
    newest = {beat.device_id: beat for beat in beats}
    tokens = {beat.device_id: beat.fcm_token for beat in beats if beat.fcm_token is not None}
    rows = [
        {
            "d": device_id,
            "last_seen_at": now,
            "status": beat.status,
            "battery_pct": beat.battery_pct,
            "network_type": beat.network_type,
            "uptime_s": beat.uptime_s,
            "heartbeat_hash": beat.content,
            "heartbeat_at": now,
            "new_token": tokens.get(device_id),
        }
        for device_id, beat in sorted(newest.items())
    ]
    execute_many(conn, _seen, rows)
