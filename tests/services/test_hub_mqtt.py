"""What comes by MQTT is logged as what comes by HTTP, and stored though the hub stops or the broker dies meanwhile."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from hub_broker import Mosquitto
from hub_fcm_standin import FcmStandin
from hub_phone import command
from hub_support import ADMIN, RunningHub, running
from hub_waits import STATE, begun, wait
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import select

from hub.store.tables import run_chunks, runs

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]
CHUNKS = 40


@dataclass
class Site:
    """A broker, and a hub whose database has had no time for the chunks that arrived."""

    broker: Mosquitto
    hub: RunningHub
    running: contextlib.AsyncExitStack
    busy: sqlite3.Connection


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    broker = Mosquitto(tmp_path, "allow_anonymous true\nmax_inflight_messages 0")
    broker.start()
    async with contextlib.AsyncExitStack() as stack:
        hub = await stack.enter_async_context(running(tmp_path, f"sqlite:///{tmp_path}/hub.db", mqtt_url=broker.url))
        await hub.enrol("cam", kind="camera")
        body = {"device_id": "cam", "action": "log", "protocol": "mqtt", "request_id": "run-1"}
        assert (await hub.client.post("/admin/command", json=body, headers=ADMIN)).status_code == 200
        await hub.until(lambda: hub.metric("hub_mqtt_connected") == 1)
        with contextlib.closing(sqlite3.connect(tmp_path / "hub.db")) as busy:
            busy.execute("BEGIN IMMEDIATE")
            publish(broker.port)
            await hub.until(lambda: hub.metric("hub_mqtt_queue_messages") == CHUNKS)
            yield Site(broker, hub, stack, busy)
    broker.stop()


def publish(port: int) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for seq in range(CHUNKS):
        last = client.publish("camera/cam/run/run-1/chunk", json.dumps({"seq": seq, "data": "x"}), qos=1)
    last.wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


async def test_a_state_is_not_held_up_by_what_waits_for_the_database(site: Site) -> None:
    asking = wait(site.hub)
    await begun(site.hub)
    site.broker.publish("plant/AABBCC112233/state", STATE)
    assert (await asking)["status"] == "success"
    assert await stored(site.hub) == [], "the output of a run is still waiting"


async def stored(hub: RunningHub) -> list[int]:
    return [row["seq"] for row in await hub.rows(select(run_chunks.c.seq).order_by(run_chunks.c.seq))]


async def test_a_hub_that_stops_stores_what_had_arrived(tmp_path: Path, site: Site) -> None:
    site.busy.close()
    await site.running.aclose()
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db") as hub:
        assert await stored(hub) == list(range(CHUNKS))


async def test_a_broker_that_dies_takes_nothing_with_it_that_had_arrived(site: Site) -> None:
    client: Any = site.hub.hub.mqtt._client
    site.broker.stop()
    await site.hub.until(client._disconnected.done)
    site.busy.close()

    async def all_stored() -> bool:
        return await stored(site.hub) == list(range(CHUNKS))

    await site.hub.until(all_stored, 30)


async def test_what_a_hub_that_is_behind_has_no_room_for_is_dropped_and_counted(tmp_path: Path) -> None:
    sent = 3_000
    with Mosquitto(tmp_path, "allow_anonymous true\nmax_queued_messages 0") as broker:
        async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", mqtt_url=broker.url, mqtt_queue=10) as hub:
            await hub.enrol("cam", kind="camera")
            body = {"device_id": "cam", "action": "log", "protocol": "mqtt", "request_id": "run-1"}
            assert (await hub.client.post("/admin/command", json=body, headers=ADMIN)).status_code == 200
            await hub.until(lambda: hub.metric("hub_mqtt_connected") == 1)
            client = paho.Client(CallbackAPIVersion.VERSION2)
            client.connect("127.0.0.1", broker.port)
            for seq in range(sent):
                client.publish("camera/cam/run/run-1/chunk", json.dumps({"seq": seq, "data": "x"}))
            client.loop_start()
            dropped = 0.0

            async def all_are_told() -> bool:
                nonlocal dropped
                dropped = hub.metric("hub_mqtt_refused_total", reason="queue full")
                return len(await stored(hub)) + dropped == sent

            await hub.until(all_are_told, 60)
            client.disconnect()
            client.loop_stop()
            assert 0 < dropped < sent
            assert hub.metric("run_chunks_total", device_site="none", protocol="mqtt") == sent - dropped


async def test_what_is_to_be_acknowledged_and_finds_no_room_comes_again(site: Site) -> None:
    """The database is busy, the broker sends all that it has, and there is room for half of it."""
    arrivals: Any = site.hub.hub.mqtt._queue
    arrivals._most = 300
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(0)
    client.connect("127.0.0.1", site.broker.port)
    for seq in range(CHUNKS, 3_000):
        last = client.publish("camera/cam/run/run-1/chunk", json.dumps({"seq": seq, "data": "x"}), qos=1)
    client.loop_start()
    await site.hub.until(lambda: arrivals.left)
    site.busy.close()
    await asyncio.to_thread(last.wait_for_publish, 60)
    client.loop_stop()

    async def all_stored() -> bool:
        return len(await stored(site.hub)) == 3_000

    await site.hub.until(all_stored, 120)
    assert arrivals is not site.hub.hub.mqtt._queue, "they were asked for again"
    assert site.hub.metric("hub_mqtt_refused_total", reason="queue full") == 0


async def test_a_revoked_device_tells_nothing_more_of_its_runs(phone: tuple[RunningHub, FcmStandin]) -> None:
    hub, _ = phone
    await hub.enrol(fcm_token="token-1")
    request_id = (await command(hub)).json()["request_id"]
    topic = f"tablet/tablet-1/run/{request_id}"
    await hub.hub.mqtt.dispatch(f"{topic}/chunk", b'{"seq":0,"data":"x"}', False)
    assert (await hub.client.delete("/admin/devices/tablet-1", headers=ADMIN)).status_code == 200
    await hub.hub.mqtt.dispatch(f"{topic}/chunk", b'{"seq":1,"data":"y"}', False)
    await hub.hub.mqtt.dispatch(f"{topic}/result", b'{"outcome":"ok"}', False)
    (run,) = await hub.rows(select(runs))
    assert (run["status"], run["chunks"]) == ("running", 1)
    assert hub.metric("hub_mqtt_refused_total", reason="device_revoked") == 2


async def test_the_hub_says_that_it_has_its_broker_when_it_hears_what_comes(tmp_path: Path) -> None:
    """The broker lets the hub in at once; that it will hear its subscriptions is held up."""
    let_through, held_up = asyncio.Event(), asyncio.Event()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_broker, to_broker = await asyncio.open_connection("127.0.0.1", broker.port)

        async def answers() -> None:
            writer.write(await from_broker.readexactly(4))  # CONNACK
            first = await from_broker.readexactly(1)  # of the first SUBACK
            held_up.set()
            await let_through.wait()
            writer.write(first)
            await pipe(from_broker, writer)

        async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await asyncio.gather(answers(), pipe(reader, to_broker))

    with Mosquitto(tmp_path) as broker:
        server = await asyncio.start_server(proxy, "127.0.0.1", 0)
        url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, running(tmp_path, f"sqlite:///{tmp_path}/hub.db", mqtt_url=url) as hub:
            await asyncio.wait_for(held_up.wait(), 30)
            assert hub.metric("hub_mqtt_connected") == 0
            assert "mqtt" in (await hub.client.get("/readyz")).json()["problems"]
            let_through.set()
            await hub.until(lambda: hub.metric("hub_mqtt_connected") == 1, 30)
            assert (await hub.client.get("/readyz")).json()["problems"] == {}
            asked = wait(hub, device_id="fern", timeout=30)
            await begun(hub)
            await asyncio.to_thread(broker.publish, "plant/fern/state", STATE)
            assert (await asked)["status"] == "success"


async def test_a_result_by_mqtt_leaves_the_same_line_as_one_by_http(phone: tuple[RunningHub, FcmStandin]) -> None:
    hub, _ = phone
    device = await hub.enrol(fcm_token="token-1", alias="Kiln tablet")
    told = []
    for way in ("http", "mqtt"):
        request_id = (await command(hub)).json()["request_id"]
        if way == "http":
            await hub.client.post("/v1/action-result", json={"request_id": request_id, "outcome": "ok"}, headers=device)
        else:
            await hub.hub.mqtt.dispatch(f"tablet/tablet-1/run/{request_id}/result", b'{"outcome":"ok"}', False)
        told.append(hub.lines("action_result.ingest")[-1])
        assert told[-1]["request_id"] == request_id
    assert told[0].keys() == told[1].keys()
    assert (told[1]["alias"], told[1]["outcome"], told[1]["route"]) == ("Kiln tablet", "ok", None)
