"""The hub killed with SIGKILL under load: what was answered is there, what was repeated is there once."""

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub_servers import HubProcess, enrol, stored
from hub_support import ADMIN, Postgres, postgres_server
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
