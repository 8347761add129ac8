"""State messages: they make devices known and answer waits, and are stored together, once a second.

Those of a revoked device are events and times as well, but answer nobody: a wait asks for a device that works.
"""

import asyncio
import time
from typing import Final

import structlog
from sqlalchemy import Connection, bindparam, select, update

from hub.ids import now_ms
from hub.provision.events import ProvisionEvents
from hub.provision.waits import Seen, Waits
from hub.store import Database
from hub.store.statements import insert_new
from hub.store.tables import devices

log = structlog.get_logger()
FLUSH_SECONDS: Final = 1.0
KIND: Final = "plant"
"""What reports its state by MQTT (`plant/<id>/state`)."""
_seen_at = update(devices).where(devices.c.device_id == bindparam("d")).values(last_seen_at=bindparam("at"))


class States:
    """The devices that are known, and what of them is not stored yet."""

    def __init__(self, db: Database, waits: Waits, events: ProvisionEvents, limit: int) -> None:
        self._db = db
        self._waits = waits
        self._events = events
        self._limit = limit
        self._known: set[str] = set()
        self._revoked: set[str] = set()
        self._new: dict[str, int] = {}
        self._seen_at: dict[str, int] = {}
        self._flushing = asyncio.Lock()

    async def load(self) -> None:
        """Take over what an earlier run stored; those devices count as known, and as not fresh."""
        d = devices.c
        wanted = select(d.device_id, d.last_seen_at, d.kind, d.revoked_at)
        rows = await self._db.read(lambda conn: [tuple(row) for row in conn.execute(wanted)])
        now, wall = time.monotonic(), now_ms()
        for device_id, seen_at, kind, revoked_at in rows:
            self._known.add(device_id)
            if revoked_at is not None:
                self._revoked.add(device_id)
            elif seen_at is not None and kind == KIND:
                self._waits.remember(Seen(device_id, True, now - max(0, wall - seen_at) / 1000))

    def take(self, device_id: str, retained: bool) -> bool:
        """A device told its state; False when there are too many devices already to know one more."""
        created = device_id not in self._known
        if created and len(self._known) >= self._limit:
            return False
        now = now_ms()
        if created:
            self._known.add(device_id)
            self._new[device_id] = now
        if not retained:
            self._seen_at[device_id] = now
        notified = 0
        if device_id not in self._revoked:
            notified = self._waits.notify(Seen(device_id, retained, time.monotonic()))
        self._events.state_message(device_id, retained=retained, created=created, waiters_notified=notified)
        return True

    def revoke(self, device_id: str) -> None:
        """From now on the device satisfies no wait: to whoever waits it is not provisioned."""
        self._revoked.add(device_id)
        self._waits.forget_device(device_id)

    def admit(self, device_id: str) -> None:
        """The device is registered; it is not revoked any more."""
        self._known.add(device_id)
        self._revoked.discard(device_id)

    async def flush(self) -> None:
        """Store what is new; what cannot be stored is kept for the next time."""
        async with self._flushing:
            await self._flush()

    async def stored(self, device_id: str) -> None:
        """Return when the device, if it has told its state, is in the database: it is written a second later."""
        if device_id in self._new or self._flushing.locked():
            await self.flush()

    async def _flush(self) -> None:
        new, seen = self._new, self._seen_at
        if not new and not seen:
            return
        self._new, self._seen_at = {}, {}

        def work(conn: Connection) -> None:
            for device_id, at in new.items():
                insert_new(conn, devices, {"device_id": device_id, "kind": KIND, "created_at": at})
            if seen:
                conn.execute(_seen_at, [{"d": device_id, "at": at} for device_id, at in sorted(seen.items())])

        try:
            await self._db.write(work)
        except Exception:
            self._new, self._seen_at = new | self._new, seen | self._seen_at
            raise

    async def run(self) -> None:
        """Flush once a second, for ever."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except Exception as error:
                log.error("state.store.fail", reason=str(error)[:500])
