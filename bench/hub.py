"""The hub beside the least that does the same, each a program of its own, in turns in one run.

`python -m bench hub [--json]`, about three minutes. The peer of heartbeats is a bare Starlette end point that does the
same durable insert into the same tables with the standard library's sqlite3, and also commits together what waits; that
of state messages is a bare aiomqtt loop at the same broker. docs/hub.md says what was measured.
"""

import asyncio
import statistics
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
import uvloop
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client import generate_latest

from bench import hub_load, hub_site
from bench.table import Row
from hub.metrics import Metrics

ROUNDS = 7
BEATS = 2_000
AT_ONCE = 50
PACED = 200
PACED_SECONDS = 3
LEVEL_ROUNDS = 8
STATES = 4_000
WAITS = 1_000
PAGES = 200
CHUNKS = 60
STATE = b'{"moisture": 41, "temperature": 20}'


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[18]


def beat_requests(headers: list[dict[str, str]], mark: str, count: int) -> list[bytes]:
    """A heartbeat of each device in its turn, each with an id of its own."""
    bodies = [{"status": "ok", "uptime_s": n, "heartbeat_id": f"{mark}-{n}"} for n in range(count)]
    devices = len(headers)
    return [hub_load.request("POST", "/v1/heartbeat", headers[n % devices], body) for n, body in enumerate(bodies)]


async def heartbeats(folder: Path) -> list[Row]:
    """Also the memory of a hub before and after."""
    ours, theirs = [], []
    with (
        hub_site.hub(folder) as hub,
        hub_site.admin_of(hub) as client,
        hub_site.peer("heartbeats", folder) as (port, _),
    ):
        rest = hub.megabytes()
        devices = hub_site.enrolled(client, 20)
        for n in range(ROUNDS):
            content = beat_requests(devices, f"r{n}", BEATS)
            for server, rates in ((hub.port, ours), (port, theirs)):
                rate, answers = await hub_load.as_fast_as_possible(server, content, AT_ONCE)
                if answers.refused:
                    raise RuntimeError(f"{answers.refused} heartbeats were not taken")
                rates.append(rate)
        loaded = hub.megabytes()
    mine, other = statistics.median(ours), statistics.median(theirs)
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return [
        Row("heartbeats, durable", f"{mine:.0f}/s", f"{other:.0f}/s", f"{ratio:.0%}", "70 %", ratio >= 0.7),
        Row("memory at rest", f"{rest:.0f} MB", "-", "-", "-", None),
        Row(f"memory after {ROUNDS * BEATS:,} heartbeats", f"{loaded:.0f} MB", "-", "-", "-", None),
    ]


async def logging_price(folder: Path, devices: int) -> list[Row]:
    """p95 with the log at INFO against the same hub with the log at ERROR, in turns; each device has a connection."""
    taken: dict[str, list[float]] = {"INFO": [], "ERROR": []}
    given = {"HUB_RATE_DEVICE": "100000000"}
    with hub_site.hub(folder, **given) as hub, hub_site.admin_of(hub) as client:
        headers = hub_site.enrolled(client, devices)
        connections = await hub_load.connect(hub.port, devices)
        for n in range(2 * LEVEL_ROUNDS):
            # INFO ERROR, ERROR INFO, ...: so that neither is always the second.
            level = "INFO" if n % 4 in {0, 3} else "ERROR"
            client.put("/admin/log-level", json={"level": level}).raise_for_status()
            answers = await hub_load.evenly(connections, beat_requests(headers, f"r{n}", PACED * PACED_SECONDS), PACED)
            taken[level] += [seconds * 1000 for seconds in answers.seconds]
        for connection in connections:
            connection.close()
    with_log, without = p95(taken["INFO"]), p95(taken["ERROR"])
    medians = statistics.median(taken["INFO"]) - statistics.median(taken["ERROR"])
    added = with_log - without
    what = f"p95 that logging adds, {devices:,} devices (median {medians:+.2f} ms)"
    return [Row(what, f"{with_log:.1f} ms", f"{without:.1f} ms", f"{added:+.2f} ms", "+0.5 ms (seed: 5)", added <= 0.5)]


def _count_everything(m: Metrics, n: int) -> None:
    """Something in every series there can be."""
    for site in range(21):
        for protocol in ("fcm", "mqtt"):
            tags = (m.site(f"site-{site}"), protocol)
            for counter in (m.runs, m.chunks, m.chunk_bytes):
                counter.labels(*tags).inc(n)
            m.run_bytes.labels(*tags).observe(n)
            m.runner_start.labels(*tags, "started").inc()
            for status in ("ok", "error", "timeout"):
                m.runner_duration.labels(*tags, status).observe(n)
                m.runner_bytes.labels(*tags, status).set(n)
                (m.runner_stop if status == "ok" else m.runner_error).labels(*tags, status).inc()
    for number in range(51):
        m.fcm_latency.labels(m.action(f"action-{number}")).observe(n)
        m.runs_by_device.labels(m.device(f"device-{number}")).inc()
    for route in range(40):
        for method in ("GET", "POST"):
            for status in (200, 404, 503):
                m.http(f"/route-{route}", method, status, n)


def metrics_page() -> list[Row]:
    """Every series present; between two scrapes none or all of them changed."""
    m = Metrics()
    _count_everything(m, 1)
    lines = m.exposition().count(b"\n")
    rows = []
    for what, changes in (("none", False), ("all", True)):
        ours, theirs = [], []
        for n in range(15):
            if changes:
                _count_everything(m, n)
            for text, taken in ((m.exposition, ours), (lambda: generate_latest(m.registry), theirs)):
                began = time.perf_counter()
                text()
                taken.append((time.perf_counter() - began) * 1000)
        mine, other = statistics.median(ours), statistics.median(theirs)
        title = f"/metrics, {lines:,} lines, {what} changed"
        told = f"prometheus-client {other:.1f} ms"
        rows.append(Row(title, f"{mine:.1f} ms", told, f"{mine / other:.2f}", "5 ms (seed: 50)", mine <= 5))
    return rows


def _publish(port: int, count: int) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for n in range(count):
        last = client.publish(f"plant/p{n % 50}/state", STATE, qos=1)
    last.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def states(folder: Path) -> list[Row]:
    """The reader is held still while its broker takes the messages; then they come as fast as it reads."""
    ours, theirs = [], []
    with ExitStack() as stack:
        brokers = [stack.enter_context(hub_site.broker(folder / name)) for name in ("ours", "theirs")]
        hub = stack.enter_context(hub_site.hub(folder, HUB_MQTT_URL=brokers[0].url))
        client = stack.enter_context(hub_site.admin_of(hub))
        _, bare = stack.enter_context(hub_site.peer("states", folder, brokers[1].port))
        hub_site.wait_until("the hub is at its broker", lambda: hub_site.metric(client, "hub_mqtt_connected") == 1)
        told: deque[int] = deque([-1], maxlen=1)
        threading.Thread(target=lambda: told.extend(int(line) for line in bare.stdout or ()), daemon=True).start()
        hub_site.wait_until("the bare loop is at its broker", lambda: told[0] == 0)
        time.sleep(1)

        def hub_heard() -> float:
            return hub_site.metric(client, "provision_state_messages_total")

        def bare_heard() -> float:
            return told[0]

        for upto in range(STATES, 3 * STATES + 1, STATES):
            ours.append(_rate(brokers[0].port, hub.process, hub_heard, upto))
            theirs.append(_rate(brokers[1].port, bare, bare_heard, upto))
        lost = hub_site.metric(client, "hub_mqtt_refused_total")
    if lost:
        raise RuntimeError(f"the hub refused {lost:.0f} state messages")
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    mine, other = statistics.median(ours), statistics.median(theirs)
    return [Row("state messages", f"{mine:.0f}/s", f"bare aiomqtt {other:.0f}/s", f"{ratio:.0%}", "60 %", ratio >= 0.6)]


def _rate(port: int, process: Any, heard: Callable[[], float], upto: int) -> float:
    with hub_site.stopped(process):
        _publish(port, STATES)
    began, deadline = time.monotonic(), time.monotonic() + 60
    while heard() < upto:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{upto - heard():.0f} state messages were not heard")
        time.sleep(0.05)
    return STATES / (time.monotonic() - began)


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
        await asyncio.sleep(0.01)
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
        hub_site.wait_until("the hub is at the broker", lambda: hub_site.metric(client, "hub_mqtt_connected") == 1)
        time.sleep(1)
        most = 0.0

        async def hub_has() -> bool:
            nonlocal most
            most = max(most, hub.megabytes())
            return await asyncio.to_thread(hub_site.metric, client, "provision_waits_in_progress") == WAITS

        async def peer_has() -> bool:
            return await asyncio.to_thread(lambda: httpx.get(f"http://127.0.0.1:{port}/count").json()) == WAITS

        for _ in range(3):
            ours.append(await _wait_at_once(hub.port, hub_has, lambda: broker.publish("plant/fern/state", STATE)))
            theirs.append(await _wait_at_once(port, peer_has, lambda: httpx.post(f"http://127.0.0.1:{port}/state")))
    rows = []
    for number, what in enumerate(("until all wait", "from the message until all are answered")):
        mine, other = (statistics.median(pair[number] for pair in taken) for taken in (ours, theirs))
        told = f"bare Starlette {other:.0f} ms"
        rows.append(Row(f"{WAITS:,} waits at once, {what}", f"{mine:.0f} ms", told, f"{mine / other:.2f}", "-", None))
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


async def measure() -> list[Row]:
    """Every row, each part with a hub of its own."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as made:
        folders = iter([Path(made) / str(n) for n in range(7)])

        def folder() -> Path:
            found = next(folders)
            found.mkdir()
            return found

        for what, part in PARTS.items():
            print(f"bench: {what}", file=sys.stderr, flush=True)
            rows += await part(folder())
    return rows


async def _metrics_page(_: Path) -> list[Row]:
    return metrics_page()


async def _states(folder: Path) -> list[Row]:
    return await asyncio.to_thread(states, folder)


PARTS: dict[str, Callable[[Path], Awaitable[list[Row]]]] = {
    "heartbeats": heartbeats,
    "logging, 100 devices": lambda folder: logging_price(folder, 100),
    "logging, 1,000 devices": lambda folder: logging_price(folder, 1000),
    "/metrics": _metrics_page,
    "state messages": _states,
    "waits": waits,
    "live pages": pages,
}


def run() -> list[Row]:
    return uvloop.run(measure())
