"""The page's view: all that it shows, made at once."""

import asyncio
import time
from typing import Any, Final

from sqlalchemy import Connection, func, select

from hub.ids import now_ms
from hub.registry import listed
from hub.runs import store
from hub.runs.runner import SHOWN
from hub.service import Hub
from hub.store.tables import devices, run_chunks

RUNS: Final = 20
DEVICES: Final = 500
WAITS: Final = 200
TAIL_CHUNKS: Final = 20
TAIL_BYTES: Final = 20_000
"""As much as the page keeps of a run whose output streams in."""


def _output(conn: Connection, request_id: str) -> list[dict[str, Any]]:
    """The newest pieces; the newest is always there, others up to TAIL_BYTES."""
    c = run_chunks.c
    sizes = select(c.seq, func.length(c.data)).where(c.request_id == request_id).order_by(c.seq.desc())
    first: int | None = None
    size = 0
    for seq, length in conn.execute(sizes.limit(TAIL_CHUNKS)):
        size += length
        if first is not None and size > TAIL_BYTES:
            break
        first = seq
    if first is None:  # none, or the run was cleaned away meanwhile
        return []
    last = select(c.seq, c.stream, c.data).where(c.request_id == request_id, c.seq >= first).order_by(c.seq)
    return [
        {"seq": seq, "stream": stream, "text": data.decode("utf-8", "replace")}
        for seq, stream, data in conn.execute(last)
    ]


def _stored(conn: Connection) -> tuple[int, list[dict[str, Any]], list[dict[str, Any]]]:
    found = [{key: run[key] for key in SHOWN} for run in store.listed(RUNS)(conn)]
    for run in found:
        run["output"] = _output(conn, run["request_id"]) if run["chunks"] else []
    known = conn.execute(select(func.count()).select_from(devices)).scalar_one()
    return known, listed(DEVICES)(conn), found


async def view(hub: Hub) -> dict[str, Any]:
    """Devices, waits, runs, alerts, health; `last_id` is the event that the stream goes on after.

    Of devices and waits there may be more than are shown: `known`, `waiting`.
    """
    began = time.perf_counter()
    last_id = hub.live.last_id
    known, shown, runs = await hub.db.read(_stored)
    silent_after = hub.outside.config.silent_after
    for device in shown:
        device["silent_after_s"] = silent_after.get(device["device_id"], hub.settings.device_silent_seconds)
    now = time.monotonic()
    waits = [
        {
            "method": wait.method,
            "device_id": wait.device_id,
            "elapsed": round(now - wait.started, 1),
            "timeout": wait.timeout,
            "require_fresh": wait.require_fresh,
        }
        for wait, _ in zip(hub.provisioning.waits, range(WAITS), strict=False)
    ]
    alerts, around = await asyncio.gather(hub.outside.alerts(), hub.outside.health())
    broker = {"part": "Broker", "ok": hub.mqtt.connected if hub.settings.mqtt_url else None}
    health = [broker | {"why": hub.problems.get("mqtt")}, *around]
    told = {"mqtt", *(item["part"] for item in health)}
    made = {
        "title": hub.outside.config.title,
        "now": now_ms(),
        "last_id": last_id,
        "known": known,
        "devices": shown,
        "waits": waits,
        "waiting": len(hub.provisioning.waits),
        "runs": runs,
        **alerts,
        "health": health,
        "problems": {part: why for part, why in hub.problems.items() if part not in told},
    }
    hub.metrics.live_render.observe(time.perf_counter() - began)
    return made
