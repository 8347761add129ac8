"""SIGTERM ends the hub in seconds, whatever holds on to it; what it answered with success is there afterwards."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub_broker import Mosquitto
from hub_servers import HubProcess, admin_of, enrol, metric, stored, wait_until
from hub_support import ADMIN, Postgres
from sqlalchemy import select

from hub import stopping
from hub.store.tables import heartbeats

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.services]
WAITS = 50
PAGES = 20
PODMAN_SECONDS = 15
"""What podman gives it."""
SOON = 30
"""Seconds that say "not for ever" on a machine that is at work with other tests too."""


def test_what_the_hub_allows_itself_is_less_than_podman_gives_it() -> None:
    assert stopping.PROCESS_SECONDS + stopping.LOG_SECONDS < PODMAN_SECONDS


@contextlib.contextmanager
def asked(port: int, count: int, method: str, path: str, body: Any = None) -> Iterator[list[socket.socket]]:
    """Connections with a request each, whose answers nobody reads unless the test does."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n"
    head += f"Authorization: {ADMIN['Authorization']}\r\nContent-Length: {len(content)}\r\n\r\n"
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(count):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", port))
            connection.sendall(head.encode() + content)
            opened.append(connection)
        yield opened


@contextlib.contextmanager
def hung_server() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def held(*pids: int) -> Iterator[None]:
    """Hold processes still for the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


class Beating(threading.Thread):
    """A device that sends heartbeats until the hub is gone; remembers which were answered."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        super().__init__()
        self.answered: list[str] = []
        self._url, self._headers = url, headers

    def run(self) -> None:
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=60) as client:
            n = 0
            with contextlib.suppress(httpx.HTTPError):
                while client.post("/v1/heartbeat", json={"status": "ok", "heartbeat_id": f"b-{n}"}).status_code == 200:
                    self.answered.append(f"b-{n}")
                    n += 1


def ended(hub: HubProcess) -> tuple[int, float]:
    """Its exit code and the seconds that it took from SIGTERM."""
    assert hub.process is not None
    began = time.monotonic()
    hub.process.send_signal(signal.SIGTERM)
    return hub.process.wait(60), time.monotonic() - began


@contextlib.contextmanager
def logging_hub(folder: Path, database_url: str, **given: str) -> Iterator[tuple[HubProcess, Path]]:
    """A hub, and the file that its log goes to."""
    log = folder / "hub.log"
    with log.open("wb") as file, HubProcess(folder, database_url, stdout=file.fileno(), **given) as hub:
        yield hub, log


def events(log: Path, level: str | None = None) -> list[str]:
    """The events of a log, of one level or all."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line["event"] for line in lines if level in {None, line["level"]}]


def beat_once(client: httpx.Client) -> None:
    """A heartbeat that is answered with success."""
    beat = {"status": "ok", "heartbeat_id": "before"}
    client.post("/v1/heartbeat", json=beat, headers=enrol(client, "tablet-1")).raise_for_status()


def check_left_behind(database: str, log: Path, code: int, seconds: float) -> None:
    """The hub ended in time, said that something was slow, and kept the heartbeat."""
    assert code == 0
    assert seconds < SOON
    assert "hub.stop.slow" in events(log)
    assert [row[0] for row in stored(database, select(heartbeats.c.heartbeat_id))] == ["before"]


def test_nothing_that_hangs_around_it_keeps_the_hub_alive(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/hub.db"
    broker = Mosquitto(tmp_path)
    broker.start()
    with contextlib.ExitStack() as stack:
        stack.callback(broker.stop)
        tsdb = stack.enter_context(hung_server())
        given = {"HUB_MQTT_URL": broker.url, "HUB_TSDB_URL": tsdb, "HUB_ALERTMANAGER_URL": tsdb}
        hub, log = stack.enter_context(logging_hub(tmp_path, database, **given))
        with admin_of(hub) as client:
            wait_until("the hub is at its broker", lambda: metric(client, "hub_mqtt_connected") == 1)
            query = {"version_code": 7, "version_name": "1.7", "build_type": "debug"}
            apk = b"PK\x03\x04" + bytes(20 * 2**20)
            client.post("/admin/apk-builds", params=query, content=apk).raise_for_status()
            device = enrol(client, "tablet-1")
            token = client.post("/admin/tokens", json={}).json()["token"]
            body = {"method": "ble", "timeout": 600}
            stack.enter_context(asked(hub.port, WAITS, "POST", "/provision/wait", body))
            stack.enter_context(asked(hub.port, PAGES, "GET", "/live/events"))
            wait_until("they wait", lambda: metric(client, "provision_waits_in_progress") == WAITS)
            wait_until("they look", lambda: metric(client, "live_sessions") == PAGES)
            own = {"Authorization": f"Bearer {token}"}
            download = stack.enter_context(
                httpx.stream("GET", f"{hub.url}/v1/apk/download-latest", headers=own, timeout=60)
            )
            assert download.status_code == 200
            beating = Beating(hub.url, device)
            beating.start()
            wait_until("heartbeats are answered", lambda: len(beating.answered) > 5)
            stack.enter_context(held(broker.pid))
            client.post("/admin/command", json={"device_id": "tablet-1", "action": "x", "protocol": "mqtt"})
            stack.enter_context(asked(hub.port, 3, "GET", "/live/furnaces"))
        code, seconds = ended(hub)
        beating.join()
    assert code == 0
    assert seconds < SOON
    assert "hub.stopped" in events(log), "it stopped in order"
    assert events(log, "error") == [], "who is cut off by it is no error"
    kept = {row[0] for row in stored(database, select(heartbeats.c.heartbeat_id))}
    assert set(beating.answered) <= kept


def test_a_database_that_is_locked_for_ever_is_left_behind(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/hub.db"
    with logging_hub(tmp_path, database) as (hub, log), admin_of(hub) as client:
        beat_once(client)
        with contextlib.closing(sqlite3.connect(tmp_path / "hub.db")) as other:
            other.execute("BEGIN EXCLUSIVE")
            with asked(hub.port, 30, "POST", "/admin/tokens", {}):
                wait_until("a write hangs", lambda: metric(client, "hub_database_queue_writes") > 0)
                code, seconds = ended(hub)
    check_left_behind(database, log, code, seconds)


def test_a_postgresql_that_is_away_is_left_behind(tmp_path: Path, postgres: Postgres) -> None:
    database = postgres.new_database()
    with logging_hub(tmp_path, database) as (hub, log), admin_of(hub) as client:
        beat_once(client)
        with held(*postgres.pids()), asked(hub.port, 30, "POST", "/admin/tokens", {}):
            wait_until("writes hang", lambda: metric(client, "hub_database_queue_writes") > 5)
            code, seconds = ended(hub)
    check_left_behind(database, log, code, seconds)


def test_who_waits_is_told_that_the_hub_stops(tmp_path: Path) -> None:
    body = {"method": "ble", "timeout": 600}
    with (
        logging_hub(tmp_path, f"sqlite:///{tmp_path}/hub.db") as (hub, log),
        admin_of(hub) as client,
        asked(hub.port, 3, "POST", "/provision/wait", body) as waits,
    ):
        wait_until("they wait", lambda: metric(client, "provision_waits_in_progress") == 3)
        code, _ = ended(hub)
        answers = [wait.recv(65_536) for wait in waits]
    assert code == 0
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"stopping"' in answer
        assert b"\r\nretry-after: 5\r\n" in answer
    starts = [json.loads(line) for line in log.read_text().splitlines() if "provision.wait_start" in line]
    assert [line["status_code"] for line in starts] == [503] * 3
