"""The hub's peers, each a program of its own: the least that does the same with the same server and the same storage.

`python -m bench.hub_peers heartbeats|waits PORT FOLDER` and `python -m bench.hub_peers states PORT`
"""

import asyncio
import json
import queue
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiomqtt
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from hub.ids import now_ms
from hub.store import open_database

DEVICE = "peer"
COLUMNS = "device_id, heartbeat_id, request_id, received_at, status, battery_pct, network_type, uptime_s"
INSERT = f"INSERT INTO heartbeats ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING"  # noqa: S608


class Writer:
    """One thread with the standard library's sqlite3, and one commit for all that waits: as good as it gets."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    async def insert(self, row: tuple[Any, ...]) -> None:
        """Return when the row is on disk."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._jobs.put((row, loop, future))
        await future

    def _run(self) -> None:
        database = sqlite3.connect(self._file, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            database.execute(f"PRAGMA {pragma}")
        while True:
            batch = [self._jobs.get()]
            while self._jobs.qsize() and len(batch) < 256:
                batch.append(self._jobs.get())
            database.execute("BEGIN IMMEDIATE")
            database.executemany(INSERT, [row for row, _, _ in batch])
            database.execute("COMMIT")
            batch[0][1].call_soon_threadsafe(_resolve, [future for _, _, future in batch])


def _resolve(futures: list[Any]) -> None:
    for future in futures:
        future.set_result(None)


def heartbeats(folder: Path) -> Starlette:
    """One end point that stores what it gets in the hub's own tables, unchecked and for anybody."""

    async def prepare() -> None:
        database = await open_database(f"sqlite:///{folder}/peer.db")
        await database.close()

    asyncio.run(prepare())
    with sqlite3.connect(folder / "peer.db") as database:
        database.execute("INSERT INTO devices (device_id, kind, created_at) VALUES (?, 'x', 1)", (DEVICE,))
    writer = Writer(folder / "peer.db")

    async def beat(request: Request) -> JSONResponse:
        body = await request.json()
        row = (DEVICE, body["heartbeat_id"], "-", now_ms(), body["status"], None, None, body["uptime_s"])
        await writer.insert(row)
        return JSONResponse({"ok": True})

    return Starlette(routes=[Route("/v1/heartbeat", beat, methods=["POST"])])


def waits(_: Path) -> Starlette:
    """Waits that one request answers all at once."""
    waiting: set[asyncio.Future[None]] = set()

    async def wait(request: Request) -> JSONResponse:
        await request.json()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.add(future)
        await asyncio.wait_for(future, 60)
        return JSONResponse({"status": "success"})

    async def state(_: Request) -> JSONResponse:
        while waiting:
            waiting.pop().set_result(None)
        return JSONResponse({})

    async def count(_: Request) -> JSONResponse:
        return JSONResponse(len(waiting))

    routes = [
        Route("/provision/wait", wait, methods=["POST"]),
        Route("/state", state, methods=["POST"]),
        Route("/count", count),
    ]
    return Starlette(routes=routes)


async def states(port: int) -> None:
    """Hear state messages and read them; how many is printed all the time."""
    heard = 0

    async def tell() -> None:
        while True:
            await asyncio.sleep(0.05)
            print(heard, flush=True)

    async with aiomqtt.Client("127.0.0.1", port, identifier="bare", clean_session=False) as client:
        await client.subscribe("plant/+/state", qos=1)
        telling = asyncio.create_task(tell())
        async for message in client.messages:
            message.topic.value.split("/")
            json.loads(bytes(message.payload))
            heard += 1
    telling.cancel()


PEERS: dict[str, Callable[[Path], Starlette]] = {"heartbeats": heartbeats, "waits": waits}


def main() -> None:
    what, port = sys.argv[1], int(sys.argv[2])
    if what == "states":
        asyncio.run(states(port))
        return
    app = PEERS[what](Path(sys.argv[3]))
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_config=None, server_header=False)


if __name__ == "__main__":
    main()
