"""A database that takes no writes for a while: what devices told the broker is stored when it takes them again."""

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from hub_away import away, noticed
from hub_broker import Mosquitto
from hub_fcm_standin import FcmStandin, error
from hub_phone import command, run_of, with_fcm
from hub_support import RunningHub, running
from hub_waits import STATE, begun, wait
from sqlalchemy import Connection, event, text

from hub.store.database import Unavailable, Work
from hub.store.grouped import Grouped
from hub.store.sqlite import SqliteDatabase
from hub.store.watched import Watched

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]
PIECES = 5


async def start_run(hub: RunningHub) -> dict[str, str]:
    """A command that has left to a camera; the camera's headers."""
    camera = await hub.enrol("cam", kind="camera")
    answer = await command(hub, device_id="cam", protocol="mqtt", request_id="run-1", timeout_s=3600)
    assert answer.json()["status"] == "sent", answer.text
    return camera


async def tell(port: int) -> None:
    """Tell the broker a run's output and its end, as its device does."""
    async with aiomqtt.Client("127.0.0.1", port) as device:
        for seq in range(PIECES):
            await device.publish("camera/cam/run/run-1/chunk", json.dumps({"seq": seq, "data": f"{seq}"}), qos=1)
        await device.publish("camera/cam/run/run-1/result", '{"outcome":"ok"}', qos=1)


def ended_well(hub: RunningHub) -> Any:
    async def ended() -> bool:
        run = await run_of(hub, "run-1")
        return run["status"] == "ok" and [part["data"] for part in run["output"]] == [str(n) for n in range(PIECES)]

    return ended


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    mosquitto = Mosquitto(tmp_path, "allow_anonymous true\nmax_inflight_messages 0")
    await asyncio.to_thread(mosquitto.start)
    yield mosquitto
    await asyncio.to_thread(mosquitto.stop)


async def test_what_a_device_tells_meanwhile_is_stored_in_its_order_and_acknowledged_then(
    tmp_path: Path, database_url: str, broker: Mosquitto
) -> None:
    async with running(tmp_path, database_url, mqtt_url=broker.url) as hub:
        await hub.until(lambda: hub.metric("hub_mqtt_connected") == 1, 30)
        camera = await start_run(hub)
        async with away(hub, database_url):
            await tell(broker.port)
            await hub.until(lambda: hub.metric("hub_mqtt_queue_messages") == PIECES + 1, 30)
            await noticed(hub)
            late = {"seq": PIECES, "data": "by HTTP"}
            answer = await hub.client.post("/v1/runs/run-1/chunks", json=late, headers=camera)
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            asked = wait(hub, device_id="fern", timeout=60)
            await begun(hub)
            await asyncio.to_thread(broker.publish, "plant/fern/state", STATE)
            assert (await asked)["status"] == "success", "states are heard"
            # Its time is over before the database is back; the device was in time.
            hub.hub.runner._expire("run-1")
            assert (await run_of(hub, "run-1"))["status"] == "sent"
            assert hub.metric("hub_mqtt_queue_messages") == PIECES + 2, "nothing is acknowledged"
        await hub.until(ended_well(hub), 60)
        await hub.until(lambda: hub.metric("hub_mqtt_queue_messages") == 0, 30)
        assert hub.metric("hub_mqtt_refused_total", reason="error") == 0
        assert hub.metric("hub_runs_active") == 0


async def test_what_a_hub_could_not_store_before_it_stopped_comes_again(
    tmp_path: Path, database_url: str, broker: Mosquitto
) -> None:
    async with running(tmp_path, database_url, mqtt_url=broker.url) as hub:
        await hub.until(lambda: hub.metric("hub_mqtt_connected") == 1, 30)
        await start_run(hub)
        locked = away(hub, database_url)
        await locked.__aenter__()
        await tell(broker.port)
        await hub.until(lambda: hub.metric("hub_mqtt_queue_messages") == PIECES + 1, 30)
        await noticed(hub)
    await locked.__aexit__(None, None, None)
    async with running(tmp_path, database_url, mqtt_url=broker.url) as hub:
        await hub.until(ended_well(hub), 60)


async def test_a_command_that_left_while_its_run_could_not_be_stored_has_left(
    tmp_path: Path, database_url: str
) -> None:
    broker = Mosquitto(tmp_path)
    async with running(tmp_path, database_url, mqtt_url=broker.url, dispatch_wait=0, fcm_backoff=0.05) as hub:
        camera = await hub.enrol("cam", kind="camera")
        taken = await command(hub, device_id="cam", protocol="mqtt", request_id="run-1", timeout_s=3600)
        assert taken.json()["status"] == "queued", "the broker is away"
        async with away(hub, database_url):
            await asyncio.to_thread(broker.start)
            try:
                await noticed(hub)
                assert hub.lines("dispatch.sent") == []
                result = {"request_id": "run-1", "outcome": "ok"}
                answer = await hub.client.post("/v1/action-result", json=result, headers=camera)
                assert answer.status_code == 503
                assert (await run_of(hub, "run-1"))["status"] == "queued"
            finally:
                await asyncio.to_thread(broker.stop)

        async def sent() -> bool:
            return (await run_of(hub, "run-1"))["status"] == "sent"

        await hub.until(sent, 60)
        assert len(hub.lines("dispatch.sent")) == 1
        answer = await hub.client.post("/v1/action-result", json=result, headers=camera)
        assert answer.json() == {"request_id": "run-1", "status": "ok", "replayed": False}


async def test_a_failure_that_could_not_be_stored_does_not_become_a_time_out(
    tmp_path: Path, database_url: str, fcm: FcmStandin
) -> None:
    async with with_fcm(tmp_path, database_url, fcm, dispatch_wait=0) as hub:
        await hub.enrol(fcm_token="token-1")
        fcm.answers.extend([error(503, "UNAVAILABLE", retry_after="1")] * 100)
        await command(hub, request_id="run-1", timeout_s=3600)
        deadline = hub.hub.runner._deadlines["run-1"].when()
        async with away(hub, database_url):
            fcm.answers.appendleft((404, {}, b"not here"))
            await noticed(hub)
            assert (await run_of(hub, "run-1"))["status"] == "queued"
            assert hub.hub.runner._deadlines["run-1"].when() == deadline

        async def ended() -> bool:
            return (await run_of(hub, "run-1"))["status"] != "queued"

        await hub.until(ended, 60)
        run = await run_of(hub, "run-1")
        assert (run["status"], run["error"][:15]) == ("error", "dispatch failed")


async def test_a_command_whose_run_cannot_be_read_leaves_when_it_can(phone: tuple[RunningHub, FcmStandin]) -> None:
    hub, fcm = phone
    await hub.enrol(fcm_token="token-1")
    dispatcher: Any = hub.hub.runner._dispatcher
    dispatcher._db = Unreadable(hub.hub.db, times=3)
    assert (await command(hub, request_id="run-1")).json()["status"] in {"queued", "sent"}

    async def sent() -> bool:
        return (await run_of(hub, "run-1"))["status"] == "sent"

    await hub.until(sent, 60)
    assert dispatcher._db.times == 0
    assert len(fcm.sent) == 1


class Unreadable:
    """A database that cannot be read some times."""

    def __init__(self, db: Watched, times: int) -> None:
        self._db = db
        self.times = times

    async def read(self, work: Work[Any]) -> Any:
        if self.times:
            self.times -= 1
            raise Unavailable("away")
        return await self._db.read(work)


async def test_what_comes_after_a_group_that_could_not_be_committed_is_stored_after_it(tmp_path: Path) -> None:
    """The database's thread turns to the next group before anybody is told that this one failed."""
    db = await SqliteDatabase.open(f"sqlite:///{tmp_path}/hub.db")
    await db.write(lambda conn: conn.exec_driver_sql("CREATE TABLE told (what TEXT)") and None)
    committing, fail = threading.Event(), threading.Event()

    @event.listens_for(db._writer_engine, "commit")
    def _commit(_: Connection) -> None:
        if not fail.is_set():
            committing.set()
            assert fail.wait(60)
            raise sqlite3.OperationalError("database or disk is full")

    def store(items: Sequence[str]) -> Work[list[str | Exception]]:
        def work(conn: Connection) -> list[str | Exception]:
            conn.execute(text("INSERT INTO told VALUES (:what)"), [{"what": item} for item in items])
            return list(items)

        return work

    grouped: Grouped[str, str] = Grouped(db, store)
    first = asyncio.create_task(grouped.store("chunk", insist=True))
    assert await asyncio.to_thread(committing.wait, 60)
    refused = asyncio.create_task(grouped.store("by HTTP"))
    second = asyncio.create_task(grouped.store("result", insist=True))
    while db.queued == 0:
        await asyncio.sleep(0.01)
    fail.set()
    while db.queued:  # the event loop is busy meanwhile
        time.sleep(0.01)
    time.sleep(0.2)
    assert await asyncio.wait_for(asyncio.gather(first, second), 60) == ["chunk", "result"]
    with pytest.raises(Unavailable):
        await refused
    found = await db.read(lambda conn: [row[0] for row in conn.execute(text("SELECT what FROM told ORDER BY rowid"))])
    assert found == ["chunk", "result"]
    await db.close()
