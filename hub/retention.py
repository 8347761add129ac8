"""What is old is removed, a bounded number of rows at a time so that nothing else waits long; and files of no use."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import structlog
from sqlalchemy import Column, Connection, Select, Table, delete, select

from hub.ids import now_ms
from hub.service import Hub
from hub.store.database import Work
from hub.store.tables import apk_download_events, enrolment_tokens, heartbeats, nonces, provision_audit, runs

log = structlog.get_logger()
ROWS: Final = 1000
PERIOD: Final = 600.0
DAY_MS: Final = 86_400_000
NONCE_DAYS: Final = 1 / 24
"""A signature is good for minutes; an hour also covers a clock that is set back a little."""
REFUSALS: Final = 10_000
"""So many of provisioning are kept, 1.2 MB."""
ENDED: Final = ("ok", "error", "timeout")


def remove_before(table: Table, key: Column[object], when: Column[object], before: int) -> Work[int]:
    """Remove up to ROWS rows that are older than `before`; how many it were. A run goes with its chunks."""
    old = select(key).where(when < before)
    return remove(table, key, old.where(runs.c.status.in_(ENDED)) if table is runs else old)


def remove(table: Table, key: Column[Any], old: Select[Any]) -> Work[int]:
    """Remove up to ROWS rows of those with the keys `old`; how many it were."""

    def work(conn: Connection) -> int:
        return int(conn.execute(delete(table).where(key.in_(old.limit(ROWS)))).rowcount)

    return work


def refused_too_often() -> Work[int]:
    """Remove up to ROWS refusals that came before the newest REFUSALS: anybody may be refused often."""
    a = provision_audit.c
    oldest = select(a.id).order_by(a.id.desc()).limit(1).offset(REFUSALS - 1).scalar_subquery()
    return remove(provision_audit, a.id, select(a.id).where(a.id < oldest))


async def clean(hub: Hub) -> int:
    """Remove all that is past its time; how many rows and files it were. What fails is logged and stops no other."""
    days = hub.settings
    limits = (
        (heartbeats, heartbeats.c.id, heartbeats.c.received_at, days.heartbeat_retention_days),
        (runs, runs.c.request_id, runs.c.created_at, days.run_retention_days),
        (enrolment_tokens, enrolment_tokens.c.token_id, enrolment_tokens.c.expires_at, days.run_retention_days),
        (nonces, nonces.c.nonce, nonces.c.used_at, NONCE_DAYS),
        (provision_audit, provision_audit.c.id, provision_audit.c.created_at, days.run_retention_days),
        (apk_download_events, apk_download_events.c.id, apk_download_events.c.created_at, days.run_retention_days * 4),
    )
    total = 0
    for table, key, when, age in limits:
        with _on_its_own(table.name):
            total += await _all(hub, remove_before(table, key, when, now_ms() - int(age * DAY_MS)))
    with _on_its_own(provision_audit.name):
        total += await _all(hub, refused_too_often())
    with _on_its_own("APK files"):
        total += await hub.apk_files.clean()
    return total


async def _all(hub: Hub, work: Work[int]) -> int:
    total = 0
    while removed := await hub.db.write(work):
        total += removed
        await asyncio.sleep(0)
    return total


@contextlib.contextmanager
def _on_its_own(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        log.error("retention.fail", what=what, exc_info=error)


@contextlib.asynccontextmanager
async def retention(hub: Hub) -> AsyncIterator[None]:
    """Clean now and every ten minutes."""

    async def loop() -> None:
        while True:
            await clean(hub)
            await asyncio.sleep(PERIOD)

    task = asyncio.create_task(loop())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
