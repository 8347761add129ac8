"""The hub beside peers in the same run: durable heartbeats, the price of logging, /metrics, state messages.

`python -m bench.hub [--json]`. The peer of heartbeats is a bare Starlette end point that does the same durable insert
into the same kind of SQLite with the standard library, also committing what waits together.
"""

import argparse
import asyncio
import contextlib
import json
import os
import queue
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bench.table import Row, show
from hub import logs, settings
from hub.app import make_app

TOKEN = "a-token-for-benchmarks-only"  # noqa: S105
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
ROUNDS = 3
BEATS = 1500
AT_ONCE = 50
RATE = 100
SECONDS = 1


@contextlib.asynccontextmanager
async def hub_client(folder: Path, level: str) -> AsyncIterator[tuple[httpx.AsyncClient, Any]]:
    fd = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    writer = logs.LogWriter(fd)
    logs.configure(writer, level)
    chosen = settings.load(
        admin_token=TOKEN,
        database_url=f"sqlite:///{folder}/hub.db",
        provision_event_log=str(folder / "events.jsonl"),
        rate_device=10_000_000,
        rate_register=10_000_000,
        log_level=level,
    )
    app = make_app(chosen, writer)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub", timeout=60) as client,
    ):
        yield client, app
    writer.close()
    os.close(fd)


class BareWriter:
    """The peer's storage: one thread, one commit for all that waits."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    async def insert(self, row: tuple[Any, ...]) -> None:
        future = asyncio.get_running_loop().create_future()
        self._jobs.put((row, asyncio.get_running_loop(), future))
        await future

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        database = sqlite3.connect(self._file, isolation_level=None)
        database.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
            "CREATE TABLE heartbeats (id INTEGER PRIMARY KEY, device TEXT, request TEXT, at INTEGER, status TEXT, "
            "battery INTEGER, uptime INTEGER, UNIQUE (device, request))"
        )
        insert = "INSERT OR IGNORE INTO heartbeats (device, request, at, status, battery, uptime) VALUES (?,?,?,?,?,?)"
        while (job := self._jobs.get()) is not None:
            batch = [job]
            while self._jobs.qsize() and len(batch) < 256 and (more := self._jobs.get()) is not None:
                batch.append(more)
            database.execute("BEGIN IMMEDIATE")
            for row, _, _ in batch:
                database.execute(insert, row)
            database.execute("COMMIT")
            for _, loop, future in batch:
                loop.call_soon_threadsafe(future.set_result, None)
        database.close()


@contextlib.asynccontextmanager
async def bare_client(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    writer = BareWriter(folder / "bare.db")

    async def beat(request: Request) -> JSONResponse:
        body = await request.json()
        row = ("d", body["heartbeat_id"], time.time_ns() // 1_000_000, body["status"], None, body["uptime_s"])
        await writer.insert(row)
        return JSONResponse({"ok": True})

    app = Starlette(routes=[Route("/v1/heartbeat", beat, methods=["POST"])])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bare", timeout=60) as client:
        yield client
    writer.close()


async def enrol(client: httpx.AsyncClient, device_id: str) -> dict[str, str]:
    token = (await client.post("/admin/tokens", json={}, headers=ADMIN)).json()["token"]
    answer = await client.post("/v1/register", json={"device_id": device_id, "token": token})
    return {"Authorization": f"Bearer {answer.json()['device_token']}"}


async def send(client: httpx.AsyncClient, headers: list[dict[str, str]], mark: str) -> tuple[float, list[float]]:
    """Heartbeats a second, and the seconds that each took."""
    taken: list[float] = []
    numbers = iter(range(BEATS))

    async def one(own: dict[str, str]) -> None:
        for n in numbers:
            began = time.perf_counter()
            body = {"status": "ok", "uptime_s": n, "heartbeat_id": f"{mark}-{n}"}
            answer = await client.post("/v1/heartbeat", json=body, headers=own)
            answer.raise_for_status()
            taken.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(one(headers[n % len(headers)]) for n in range(AT_ONCE)))
    return BEATS / (time.perf_counter() - began), taken


async def heartbeats() -> Row:
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        async with hub_client(path, "INFO") as (client, _), bare_client(path) as bare:
            devices = [await enrol(client, f"d{n}") for n in range(20)]
            for n in range(ROUNDS):
                ours.append((await send(client, devices, f"r{n}"))[0])
                theirs.append((await send(bare, [{}], f"r{n}"))[0])
    mine, peer = statistics.median(ours), statistics.median(theirs)
    ratio = mine / peer
    return Row(
        "heartbeats, durable", f"{mine:.0f}/s", f"bare Starlette {peer:.0f}/s", f"{ratio:.0%}", "70 %", ratio >= 0.7
    )


async def paced(client: httpx.AsyncClient, headers: list[dict[str, str]], mark: str) -> list[float]:
    """Milliseconds of heartbeats that come evenly, RATE a second: what a request takes, not how long a queue is."""
    taken: list[float] = []

    async def one(n: int) -> None:
        await asyncio.sleep(n / RATE)
        body = {"status": "ok", "uptime_s": n, "heartbeat_id": f"{mark}-{n}"}
        began = time.perf_counter()
        answer = await client.post("/v1/heartbeat", json=body, headers=headers[n % len(headers)])
        taken.append((time.perf_counter() - began) * 1000)
        answer.raise_for_status()

    await asyncio.gather(*(one(n) for n in range(RATE * SECONDS)))
    return taken


async def logging_price(devices: int) -> Row:
    """p95 with the log at INFO against the same hub with the log at ERROR, in turns."""
    taken: dict[str, list[float]] = {"INFO": [], "ERROR": []}
    with tempfile.TemporaryDirectory() as folder:
        async with hub_client(Path(folder), "INFO") as (client, app):
            headers = [await enrol(client, f"d{n}") for n in range(devices)]
            for n in range(4 * ROUNDS):
                level = "INFO" if n % 2 else "ERROR"
                logs.set_level(app.state.hub.logs, level)
                taken[level] += await paced(client, headers, f"r{n}")
    mine, peer = (statistics.quantiles(taken[level], n=20)[18] for level in ("INFO", "ERROR"))
    added = mine - peer
    what = f"p95 that logging adds, {devices} devices"
    return Row(what, f"{mine:.1f} ms", f"without {peer:.1f} ms", f"{added:+.2f} ms", "5 ms (wish: 0.5)", added <= 5)


async def metrics_page() -> Row:
    with tempfile.TemporaryDirectory() as folder:
        async with hub_client(Path(folder), "ERROR") as (client, app):
            m = app.state.hub.metrics
            for site in range(21):
                for protocol in ("fcm", "mqtt"):
                    tags = (m.site(f"site-{site}"), protocol)
                    m.runs.labels(*tags).inc()
                    m.run_bytes.labels(*tags).observe(1)
                    for status in ("ok", "error", "timeout"):
                        m.runner_duration.labels(*tags, status).observe(1)
            for route in app.routes:
                for method in ("GET", "POST"):
                    for status in ("200", "4xx", "5xx"):
                        m.http_requests.labels(getattr(route, "path", "-"), method, status).inc()
                m.http_latency.labels(getattr(route, "path", "-")).observe(1)
            taken, lines = [], 0
            for _ in range(20):
                began = time.perf_counter()
                answer = await client.get("/metrics", headers=ADMIN)
                taken.append((time.perf_counter() - began) * 1000)
                lines = answer.text.count("\n")
    mine = statistics.median(taken)
    return Row("/metrics, every series", f"{mine:.1f} ms", f"{lines} lines", "-", "50 ms (wish: 5)", mine <= 50)


async def states() -> Row:
    """State messages through the hub's link against a loop that only parses them, without a broker in between."""
    ours, theirs = [], []
    payload = json.dumps({"moisture": 41, "temperature": 20}).encode()
    with tempfile.TemporaryDirectory() as folder:
        async with hub_client(Path(folder), "INFO") as (_, app):
            link = app.state.hub.mqtt

            async def rate(take: Callable[[str], Awaitable[Any]]) -> float:
                began = time.perf_counter()
                for n in range(5000):
                    await take(f"plant/p{n % 50}/state")
                return 5000 / (time.perf_counter() - began)

            async def bare(topic: str) -> None:
                topic.split("/")
                json.loads(payload)
                await asyncio.sleep(0)

            for _ in range(ROUNDS):
                ours.append(await rate(lambda topic: link.dispatch(topic, payload, False)))
                theirs.append(await rate(bare))
    mine, peer = statistics.median(ours), statistics.median(theirs)
    return Row("state messages handled", f"{mine:.0f}/s", f"parse only {peer:.0f}/s", f"{mine / peer:.0%}", "-", None)


async def measure() -> list[Row]:
    return [
        await heartbeats(),
        await logging_price(100),
        await logging_price(1000),
        await metrics_page(),
        await states(),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    show("hub", asyncio.run(measure()), as_json=parser.parse_args().json)


if __name__ == "__main__":
    main()
