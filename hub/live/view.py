"""The page's view: all that it shows, made at once."""

import time
from typing import Any, Final

from sqlalchemy import Connection, select

from hub.ids import now_ms
from hub.registry import listed
from hub.runs import store
from hub.runs.runner import SHOWN
from hub.service import Hub
from hub.store.tables import run_chunks

RUNS: Final = 20
DEVICES: Final = 500
WAITS: Final = 200
TAIL_CHUNKS: Final = 20


def _output(conn: Connection, request_id: str) -> list[dict[str, Any]]:
    c = run_chunks.c
    last = select(c.seq, c.stream, c.data).where(c.request_id == request_id).order_by(c.seq.desc()).limit(TAIL_CHUNKS)
    chunks = [
        {"seq": seq, "stream": stream, "text": data.decode("utf-8", "replace")}
        for seq, stream, data in conn.execute(last)
    ]
    return chunks[::-1]


def _stored(conn: Connection) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    found = [{key: run[key] for key in SHOWN} for run in store.listed(RUNS)(conn)]
    for run in found:
        run["output"] = _output(conn, run["request_id"])
    return listed(DEVICES)(conn), found


async def view(hub: Hub) -> dict[str, Any]:
    """Devices, waits, runs, alerts, health; `last_id` is the event that the stream goes on after."""
    began = time.perf_counter()
    last_id = hub.live.last_id
    devices, runs = await hub.db.read(_stored)
    silent_after = hub.outside.config.silent_after
    for device in devices:
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
    broker = {"part": "Broker", "ok": hub.mqtt.connected if hub.settings.mqtt_url else None}
    health = [broker | {"why": hub.problems.get("mqtt")}, *await hub.outside.health()]
    told = {"mqtt", *(item["part"] for item in health)}
    made = {
        "title": hub.outside.config.title,
        "now": now_ms(),
        "last_id": last_id,
        "devices": devices,
        "waits": waits,
        "waiting": len(hub.provisioning.waits),
        "runs": runs,
        **await hub.outside.alerts(),
        "health": health,
        "problems": {part: why for part, why in hub.problems.items() if part not in told},
    }
    hub.metrics.live_render.observe(time.perf_counter() - began)
    return made
