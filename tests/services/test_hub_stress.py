"""What may not bring the hub down: a stalled stdout, pages that never read, storms, files and tokens that go away."""

import contextlib
import hashlib
import json
import os
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub_servers import HubProcess, admin_of, enrol, metric, stored, wait_until
from hub_support import ADMIN
from sqlalchemy import select

from hub.live.broadcast import QUEUED
from hub.store.tables import apk_download_events

pytestmark = [pytest.mark.services]
STALL_SECONDS = 60
LINES = 500
PAGES = 500
APK = b"PK\x03\x04" + os.urandom(40 * 2**20)
LATEST = "/v1/apk/download-latest"


class Reader(threading.Thread):
    """Reads a hub's stdout, but not while it is stalled."""

    def __init__(self, hub: HubProcess) -> None:
        super().__init__(daemon=True)
        assert hub.process is not None
        assert hub.process.stdout is not None
        self._fd = hub.process.stdout.fileno()
        self.reading = threading.Event()
        self.reading.set()
        self.data = bytearray()

    def run(self) -> None:
        while self.reading.wait() and (part := os.read(self._fd, 65_536)):
            self.data += part

    def events(self) -> list[dict[str, Any]]:
        whole = bytes(self.data[: self.data.rfind(b"\n") + 1])
        return [json.loads(line) for line in whole.splitlines()]


def beats(client: httpx.Client, headers: dict[str, str], seconds: float) -> list[float]:
    """Milliseconds that heartbeats take, at most 50 a second."""
    taken = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        client.post("/v1/heartbeat", json={"status": "ok", "uptime_s": len(taken)}, headers=headers).raise_for_status()
        taken.append((time.perf_counter() - began) * 1000)
        time.sleep(max(0.0, 0.02 - taken[-1] / 1000))
    return taken


def p95(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=20)[18]


def test_a_stdout_that_stalls_for_a_minute_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    given = {
        "HUB_LOG_QUEUE": str(LINES),
        "HUB_LOG_LEVEL": "DEBUG",
        "HUB_BROKER_USERS_FILE": str(tmp_path / "no" / "folder" / "hub.json"),
    }
    hub = HubProcess(tmp_path, f"sqlite:///{tmp_path}/hub.db", stdout=subprocess.PIPE, **given)
    with hub, admin_of(hub) as client:
        reader = Reader(hub)
        reader.start()
        device = enrol(client, "tablet-1")
        for n in range(20):
            enrol(client, f"gone-{n}")
        reader.reading.clear()
        memory = hub.megabytes()
        taken = beats(client, device, 5)
        for n in range(20):
            client.delete(f"/admin/devices/gone-{n}").raise_for_status()
        wait_until("lines are dropped", lambda: beats(client, device, 1) and metric(client, "hub_log_dropped_lines"))
        taken += beats(client, device, STALL_SECONDS - 5)
        wait_until(
            "more is dropped than waits",
            lambda: beats(client, device, 1) and metric(client, "hub_log_dropped_lines") > LINES,
        )
        dropped, queued = metric(client, "hub_log_dropped_lines"), metric(client, "hub_log_queue_lines")
        grown = hub.megabytes() - memory
        reader.reading.set()
        wait_until("the log is written", lambda: metric(client, "hub_log_queue_lines") < 10)
        assert hub.process is not None
        hub.process.terminate()
        reader.join(60)
    written = reader.events()
    errors = [line for line in written if line["level"] == "error"]
    assert [line["event"] for line in errors] == ["broker_accounts.fail"] * 21, "one at the start, one a revoked device"
    assert dropped > LINES
    assert queued <= 2 * LINES
    assert grown < 30, "megabytes"
    assert p95(taken) < 1000, "milliseconds; who waits for stdout waits the whole minute"


@contextlib.contextmanager
def pages(port: int, last_event: int | None = None) -> Iterator[None]:
    """Live pages that ask for the stream and never read it."""
    more = "" if last_event is None else f"Last-Event-ID: {last_event}\r\n"
    head = f"GET /live/events HTTP/1.1\r\nHost: hub\r\nAuthorization: {ADMIN['Authorization']}\r\n{more}\r\n".encode()
    opened: list[socket.socket] = []
    try:
        for _ in range(PAGES):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", port))
            connection.sendall(head)
            opened.append(connection)
        yield
    finally:
        for connection in opened:
            # Closed with data unread, so with a reset: as a phone that leaves the house.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()


def test_five_hundred_pages_that_never_read_and_their_reconnect_storm(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path, f"sqlite:///{tmp_path}/hub.db", HUB_LOG_LEVEL="WARNING")
    with hub, admin_of(hub) as client:
        device = enrol(client, "tablet-1")
        body = {"device_id": "tablet-1", "action": "x", "protocol": "mqtt", "request_id": "run-1"}
        client.post("/admin/command", json=body).raise_for_status()
        first = client.get("/live/view").json()["last_id"]
        seq, memory, grown = 0, hub.megabytes(), []
        for storm in range(3):
            with pages(hub.port, None if storm == 0 else first):
                wait_until("500 pages", lambda: metric(client, "live_sessions") == PAGES)
                for _ in range(10):
                    chunk = {"seq": seq, "data": "x" * 20_000}
                    client.post("/v1/runs/run-1/chunks", json=chunk, headers=device).raise_for_status()
                    seq += 1
                assert client.get("/live/view").status_code == 200
                assert metric(client, "live_queue_events") <= QUEUED
            wait_until("they are forgotten", lambda: metric(client, "live_sessions") == 0)
            grown.append(hub.megabytes() - memory)
        reads = _first_chunk_of(hub.port, first)
    assert reads.startswith(b"HTTP/1.1 200"), "a page that reads is served as ever"
    # 500 pages with some 64 KiB each in asyncio's and the kernel's buffers; and the next storm needs no more.
    assert max(grown) < 250, grown
    assert grown[2] < grown[0] + 60, grown


def _first_chunk_of(port: int, last_event: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        head = f"GET /live/events?last_id={last_event} HTTP/1.1\r\nHost: hub\r\nAuthorization: {ADMIN['Authorization']}"
        connection.sendall(f"{head}\r\n\r\n".encode())
        got = b""
        while b"event: chunk" not in got and b"event: reset" not in got:
            part = connection.recv(65_536)
            assert part, "the stream ended"
            got += part
    return got


def _swap(folder: Path, _: httpx.Client, __: str) -> None:
    (file,) = (folder / "apk").iterdir()
    other = folder / "other"
    other.write_bytes(b"PK\x03\x04 something else")
    other.replace(file)


def _revoke(_: Path, client: httpx.Client, token_id: str) -> None:
    client.delete(f"/admin/tokens/{token_id}").raise_for_status()


@pytest.mark.parametrize(("happens", "then"), [(_swap, 503), (_revoke, 401)], ids=["file swapped", "token revoked"])
def test_a_download_that_is_begun_ends_whole_and_is_one_row_whatever_happens(
    tmp_path: Path, happens: Callable[[Path, httpx.Client, str], None], then: int
) -> None:
    database = f"sqlite:///{tmp_path}/hub.db"
    with HubProcess(tmp_path, database, HUB_LOG_LEVEL="WARNING") as hub, admin_of(hub) as client:
        query = {"version_code": 7, "version_name": "1.7", "build_type": "debug"}
        client.post("/admin/apk-builds", params=query, content=APK).raise_for_status()
        token = client.post("/admin/tokens", json={}).json()["token"]
        own = {"Authorization": f"Bearer {token}"}
        digest, got = hashlib.sha256(), 0
        with httpx.stream("GET", f"{hub.url}{LATEST}", headers=own, timeout=60) as answer:
            for part in answer.iter_raw():
                if got == 0:
                    happens(tmp_path, client, token.partition(".")[0])
                digest.update(part)
                got += len(part)
        assert digest.hexdigest() == answer.headers["x-checksum-sha256"] == hashlib.sha256(APK).hexdigest()
        for headers in (own, {**own, "Range": "bytes=1000-"}):
            assert client.get(LATEST, headers=headers).status_code == then
    assert [row[0] for row in stored(database, select(apk_download_events.c.source))] == ["enrollment"]
