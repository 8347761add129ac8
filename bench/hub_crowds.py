"""A thousand waits at once, and two hundred live pages."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from bench import hub_load, hub_site
from bench.hub_load import p95
from bench.hub_states import STATE
from bench.table import Row

WAITS = 1_000
WAIT_ROUNDS = 3
LOOK_SECONDS = 0.1
"""To ask more often how far they are would be part of their work."""
PAGES = 200
CHUNKS = 60


async def _wait_at_once(
    port: int, begun: Callable[[], Awaitable[bool]], tell: Callable[[], Any]
) -> tuple[float, float]:
    """Milliseconds until all wait, and from the message until all are answered."""
    connections = await hub_load.connect(port, WAITS)
    body = {"method": "ble", "timeout": 60, "device_id": "fern"}
    content = hub_load.request("POST", "/provision/wait", hub_site.ADMIN, body)
    began = time.perf_counter()
    asked = [asyncio.ensure_future(connection.ask(content)) for connection in connections]
    while not await begun():
        await asyncio.sleep(LOOK_SECONDS)
    waiting = time.perf_counter()
    await asyncio.to_thread(tell)
    if set(await asyncio.gather(*asked)) != {200}:
        raise RuntimeError("a wait was not answered")
    done = time.perf_counter()
    for connection in connections:
        connection.close()
    return (waiting - began) * 1000, (done - waiting) * 1000


async def waits(folder: Path) -> list[Row]:
    ours, theirs = [], []
    with ExitStack() as stack:
        broker = stack.enter_context(hub_site.broker(folder))
        hub = stack.enter_context(hub_site.hub(folder, HUB_MQTT_URL=broker.url))
        client = stack.enter_context(hub_site.admin_of(hub))
        port, _ = stack.enter_context(hub_site.peer("waits", folder))
        other = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False))
        hub_site.wait_until("the hub is at the broker", lambda: hub_site.metric(client, "hub_mqtt_connected") == 1)
        time.sleep(1)
        most = 0.0

        async def hub_has() -> bool:
            nonlocal most
            most = max(most, hub.megabytes())
            return await asyncio.to_thread(hub_site.metric, client, "provision_waits_in_progress") == WAITS

        async def peer_has() -> bool:
            return (await asyncio.to_thread(other.get, "/count")).text == str(WAITS)

        for _ in range(WAIT_ROUNDS):
            ours.append(await _wait_at_once(hub.port, hub_has, lambda: broker.publish("plant/fern/state", STATE)))
            theirs.append(await _wait_at_once(port, peer_has, lambda: other.post("/state")))
    rows = []
    for number, what in enumerate(("until all wait", "from the message until all are answered")):
        mine, bare = (statistics.median(pair[number] for pair in taken) for taken in (ours, theirs))
        told = f"bare Starlette {bare:.0f} ms"
        rows.append(Row(f"{WAITS:,} waits at once, {what}", f"{mine:.0f} ms", told, f"{mine / bare:.2f}", "-", None))
    return [*rows, Row(f"memory with {WAITS:,} waits", f"{most:.0f} MB", "-", "-", "-", None)]


async def pages(folder: Path) -> list[Row]:
    """How long a piece of a run's output takes from the device's request to each of the open pages."""
    with hub_site.hub(folder) as hub, hub_site.admin_of(hub) as client:
        (device,) = hub_site.enrolled(client, 1)
        body = {"device_id": "d0", "action": "x", "protocol": "mqtt", "request_id": "run"}
        client.post("/admin/command", json=body).raise_for_status()
        sent: dict[int, float] = {}
        taken: list[float] = []
        streams = [await asyncio.open_connection("127.0.0.1", hub.port) for _ in range(PAGES)]

        async def look(reader: asyncio.StreamReader) -> None:
            while (line := await reader.readline()) and f'"seq":{CHUNKS - 1},'.encode() not in line:
                _arrived(line)
            _arrived(line)

        def _arrived(line: bytes) -> None:
            if b'"seq":' in line:
                number = int(line.partition(b'"seq":')[2].partition(b",")[0])
                taken.append((time.perf_counter() - sent[number]) * 1000)

        for _, writer in streams:
            writer.write(hub_load.request("GET", "/live/events", hub_site.ADMIN))
        looking = [asyncio.create_task(look(reader)) for reader, _ in streams]
        while await asyncio.to_thread(hub_site.metric, client, "live_sessions") < PAGES:
            await asyncio.sleep(0.05)
        (connection,) = await hub_load.connect(hub.port, 1)
        for number in range(CHUNKS):
            chunk = {"seq": number, "data": "a line of output\n"}
            sent[number] = time.perf_counter()
            await connection.ask(hub_load.request("POST", "/v1/runs/run/chunks", device, chunk))
            await asyncio.sleep(0.1)
        await asyncio.wait_for(asyncio.gather(*looking), 60)
        memory = hub.megabytes()
        for writer in (writer for _, writer in streams):
            writer.close()
    if len(taken) != PAGES * CHUNKS:
        raise RuntimeError(f"{PAGES * CHUNKS - len(taken)} events did not arrive")
    return [
        Row(f"{PAGES} live pages, output to every page, p95", f"{p95(taken):.0f} ms", "-", "-", "-", None),
        Row(f"memory with {PAGES} live pages", f"{memory:.0f} MB", "-", "-", "-", None),
    ]
