"""The hub killed with SIGKILL under load: what was answered is there, what was repeated is there once."""

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import paho.mqtt.client as paho
import pytest
from hub_broker import Mosquitto
from hub_servers import HubProcess, enrol, metric, stored, wait_until
from hub_support import ADMIN, Postgres, postgres_server
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import select

from hub.ids import new_token
from hub.store.tables import devices, heartbeats, run_chunks, runs

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.services]
KILLS = 3
WRITERS = 4


class Writer(threading.Thread):
    """A device that sends heartbeats and chunks, each repeated until it is answered; remembers what was answered."""

    def __init__(self, url: str, headers: dict[str, str], number: int, stop: threading.Event) -> None:
        super().__init__()
        self.number = number
        self.beats: set[str] = set()
        self.chunks: set[int] = set()
        self.repeated = 0
        self._url = url
        self._headers = headers
        self._stop_now = stop

    def run(self) -> None:
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=5) as client:
            n = 0
            while not self._stop_now.is_set():
                beat = {"status": "ok", "heartbeat_id": f"{self.number}-{n}"}
                if self._send(client, "/v1/heartbeat", beat):
                    self.beats.add(beat["heartbeat_id"])
                if self._send(client, f"/v1/runs/run-{self.number}/chunks", {"seq": n, "data": "x"}):
                    self.chunks.add(n)
                n += 1

    def _send(self, client: httpx.Client, path: str, body: dict[str, Any]) -> bool:
        for _ in range(400):
            with contextlib.suppress(httpx.HTTPError):
                if client.post(path, json=body).status_code == 200:
                    return True
            self.repeated += 1
            if self._stop_now.is_set():
                return False
            time.sleep(0.05)
        return False


@pytest.fixture(scope="module")
def durable() -> Iterator[Postgres]:
    """A PostgreSQL that waits for the disk, as it does in use."""
    with postgres_server(fsync=True) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/hub.db"
    server: Postgres = request.getfixturevalue("durable")
    return server.new_database()


def test_nothing_that_was_answered_is_lost_and_nothing_doubles(tmp_path: Path, database_url: str) -> None:
    dice, stop = random.Random(1), threading.Event()
    writers: list[Writer] = []
    with (
        HubProcess(tmp_path, database_url, HUB_LOG_LEVEL="ERROR") as hub,
        httpx.Client(base_url=hub.url, headers=ADMIN, timeout=30) as admin,
    ):
        try:
            for number in range(WRITERS):
                headers = enrol(admin, f"d{number}")
                body = {"device_id": f"d{number}", "action": "log", "protocol": "mqtt", "request_id": f"run-{number}"}
                admin.post("/admin/command", json=body).raise_for_status()
                writers.append(Writer(hub.url, headers, number, stop))
            for writer in writers:
                writer.start()
            for _ in range(KILLS):
                time.sleep(dice.uniform(0.5, 1.5))
                hub.kill()
                hub.start()
            time.sleep(0.5)
            hub.kill()
        finally:
            stop.set()
            for writer in writers:
                writer.join()
    assert sum(writer.repeated for writer in writers) > 0, "the kills were felt"
    kept = [row[0] for row in stored(database_url, select(heartbeats.c.heartbeat_id))]
    answered = {beat for writer in writers for beat in writer.beats}
    assert len(answered) > 20
    assert answered <= set(kept)
    assert len(kept) == len(set(kept))
    for writer in writers:
        run = f"run-{writer.number}"
        seqs = {row[0] for row in stored(database_url, select(run_chunks.c.seq).where(run_chunks.c.request_id == run))}
        assert writer.chunks <= seqs
        counted = stored(database_url, select(runs.c.chunks, runs.c.bytes).where(runs.c.request_id == run))
        assert counted == [(len(seqs), len(seqs))]


def test_a_token_is_consumed_once_though_the_hub_is_killed_meanwhile(tmp_path: Path, database_url: str) -> None:
    won: list[str] = []
    answered: list[int] = []
    with (
        HubProcess(tmp_path, database_url, HUB_LOG_LEVEL="ERROR") as hub,
        httpx.Client(base_url=hub.url, timeout=30) as client,
    ):
        token = client.post("/admin/tokens", json={}, headers=ADMIN).json()["token"]

        def register(number: int) -> None:
            body = {"device_id": f"d{number}", "token": token, "device_token": new_token().text}
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline:
                with contextlib.suppress(httpx.HTTPError):
                    answer = client.post("/v1/register", json=body)
                    if answer.status_code in {200, 401}:
                        answered.append(answer.status_code)
                        if answer.status_code == 200:
                            won.append(body["device_id"])
                        return
                time.sleep(0.3)

        threads = [threading.Thread(target=register, args=(n,)) for n in range(50)]
        for thread in threads:
            thread.start()
        time.sleep(0.15)
        hub.kill()
        hub.start()
        for thread in threads:
            thread.join()
    assert len(answered) == 50
    assert len(won) == 1
    assert [row[0] for row in stored(database_url, select(devices.c.device_id))] == won


def test_what_a_broker_has_of_a_device_reaches_the_database_though_the_hub_is_killed(
    tmp_path: Path, database_url: str
) -> None:
    """2,000 pieces of output and a result, all acknowledged to the device by the broker; the hub dies over them."""
    chunks = 2_000
    broker = Mosquitto(tmp_path, "allow_anonymous true\nmax_queued_messages 0")
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(chunks + 1)
    with (
        broker,
        HubProcess(tmp_path, database_url, HUB_LOG_LEVEL="ERROR", HUB_MQTT_URL=broker.url) as hub,
        httpx.Client(base_url=hub.url, headers=ADMIN, timeout=30) as admin,
    ):
        enrol(admin, "cam", kind="camera")
        body = {"device_id": "cam", "action": "log", "protocol": "mqtt", "request_id": "run-1"}
        admin.post("/admin/command", json=body).raise_for_status()
        wait_until("the hub has its broker", lambda: metric(admin, "hub_mqtt_connected") == 1)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        topic = "camera/cam/run/run-1"
        told = [client.publish(f"{topic}/chunk", orjson.dumps({"seq": n, "data": "x"}), qos=1) for n in range(chunks)]
        told.append(client.publish(f"{topic}/result", b'{"outcome":"ok"}', qos=1))
        wait_until("the first are stored", lambda: metric(admin, "run_chunks_total") > 0)
        hub.kill()
        for info in told:
            info.wait_for_publish(30)
        client.loop_stop()
        before = len(stored(database_url, select(run_chunks.c.seq)))
        assert 0 < before < chunks, "the hub died in the middle of it"
        hub.start()
        ended = select(runs.c.status, runs.c.chunks, runs.c.bytes)
        wait_until("the run ended", lambda: admin.get("/admin/runs/run-1").json()["status"] == "ok", 240)
    assert stored(database_url, ended) == [("ok", chunks, chunks)]
    assert stored(database_url, select(run_chunks.c.seq).order_by(run_chunks.c.seq)) == [(n,) for n in range(chunks)]
