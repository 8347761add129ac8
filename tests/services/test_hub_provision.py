"""Waits for devices, their events in the log file, the log and the metrics; a broker that goes away and comes back."""

import asyncio
import json
import os
import random
import re
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_broker import Mosquitto
from hub_support import ADMIN, RunningHub, bearer, running
from sqlalchemy import select

from hub.provision.eventlog import EventLog
from hub.store.tables import devices

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]
STATE = b'{"moisture": 41}'


def wait(hub: RunningHub, **body: Any) -> "asyncio.Task[dict[str, Any]]":
    async def ask() -> dict[str, Any]:
        answer = await hub.client.post("/provision/wait", json={"method": "ble", "timeout": 5, **body}, headers=ADMIN)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    return asyncio.create_task(ask())


async def begun(hub: RunningHub, count: int = 1) -> None:
    await hub.until(lambda: hub.metric("provision_waits_in_progress") == count)


async def state(hub: RunningHub, device_id: str = "AABBCC112233", *, retained: bool = False) -> None:
    await hub.hub.mqtt.dispatch(f"plant/{device_id}/state", STATE, retained)


async def events(folder: Path, hub: RunningHub, count: int) -> list[dict[str, Any]]:
    """The lines of the event log, once there are `count`."""
    file = folder / "events.jsonl"
    await hub.until(lambda: file.exists() and file.read_bytes().count(b"\n") >= count)
    return [json.loads(line) for line in file.read_text().splitlines()]


async def test_a_device_that_comes_online_answers_the_wait(hub: RunningHub, tmp_path: Path) -> None:
    asked = wait(hub, require_fresh=True, device_id="AABBCC112233")
    await begun(hub)
    await state(hub)
    answer = await asked
    assert (answer["status"], answer["device_id"], answer["fresh"]) == ("success", "AABBCC112233", True)
    start, message, success = await events(tmp_path, hub, 3)
    times = [line.pop("timestamp") for line in (start, message, success)]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", t) for t in times)
    assert start == {
        "event": "wait_start",
        "device_id": "AABBCC112233",
        "method": "ble",
        "timeout": 5.0,
        "require_fresh": True,
    }
    seen = {"device_id": "AABBCC112233", "retained": False, "created": True, "waiters_notified": 1}
    assert message == {"event": "state_message", **seen}
    elapsed = success.pop("elapsed")
    assert 0 <= elapsed < 5
    assert success == {"event": "wait_success", "device_id": "AABBCC112233", "method": "ble", "fresh": True}
    assert hub.metric("provision_waits_total", method="ble", outcome="success") == 1
    assert hub.metric("provision_wait_elapsed_seconds_count", method="ble", fresh="true") == 1
    assert hub.metric("provision_state_messages_total", retained="false", created="true") == 1


async def test_the_success_line_is_written_in_the_order_of_the_example(lite: RunningHub, tmp_path: Path) -> None:
    asked = wait(lite)
    await begun(lite)
    await state(lite)
    await asked
    await events(tmp_path, lite, 3)
    last = (tmp_path / "events.jsonl").read_text().splitlines()[-1]
    example = (
        r'\{"timestamp":"[^"]+","event":"wait_success","device_id":"AABBCC112233","method":"ble",'
        r'"elapsed":[0-9.]+,"fresh":true\}'
    )
    assert re.fullmatch(example, last), last


async def test_a_wait_that_nobody_answers_times_out(lite: RunningHub, tmp_path: Path) -> None:
    answer = await wait(lite, timeout=0.2, method="softap")
    assert (answer["status"], answer["device_id"]) == ("timeout", None)
    line = (await events(tmp_path, lite, 2))[-1]
    assert (line["event"], line["method"], line["timeout"]) == ("wait_timeout", "softap", 0.2)
    assert line["elapsed"] >= 0.2
    assert "device_id" not in line
    assert lite.metric("provision_waits_in_progress") == 0


async def test_a_known_device_answers_at_once_when_it_need_not_be_fresh(lite: RunningHub, tmp_path: Path) -> None:
    await state(lite)
    answer = await wait(lite, require_fresh=False)
    assert (answer["status"], answer["device_id"], answer["fresh"]) == ("cached", "AABBCC112233", False)
    line = (await events(tmp_path, lite, 3))[-1]
    assert (line["event"], line["device_id"], line["method"]) == ("wait_cached", "AABBCC112233", "ble")


async def test_a_known_device_is_still_known_after_a_restart(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, database_url) as hub:
        await state(hub)
    async with running(tmp_path, database_url) as hub:
        assert (await wait(hub, require_fresh=False))["status"] == "cached"
        await state(hub)
        assert (await events(tmp_path, hub, 4))[-1]["created"] is False
        assert [row["device_id"] for row in await hub.rows(select(devices))] == ["AABBCC112233"]


async def test_a_retained_message_satisfies_only_who_does_not_want_it_fresh(lite: RunningHub) -> None:
    fresh, any_age = wait(lite, require_fresh=True, timeout=0.5), wait(lite, require_fresh=False)
    await begun(lite, 2)
    await state(lite, retained=True)
    assert ((await any_age)["fresh"], (await any_age)["status"]) == (False, "success")
    assert (await fresh)["status"] == "timeout"


async def test_another_device_does_not_answer_a_wait_for_one(lite: RunningHub) -> None:
    asked = wait(lite, device_id="one", timeout=0.4)
    await begun(lite)
    await state(lite, "other")
    assert (await asked)["status"] == "timeout"


async def test_get_asks_the_same_question(lite: RunningHub) -> None:
    query = {"method": "ble", "timeout": 0.1, "require_fresh": "false", "device_id": "x"}
    answer = await lite.client.get("/provision/wait", params=query, headers=ADMIN)
    assert answer.json()["status"] == "timeout"


async def test_an_app_may_wait_with_an_enrolment_token_and_nobody_without(lite: RunningHub) -> None:
    body = {"method": "ble", "timeout": 0.1}
    with_token = await lite.client.post("/provision/wait", json=body, headers=bearer(await lite.new_token()))
    without = await lite.client.post("/provision/wait", json=body)
    assert (with_token.status_code, without.status_code) == (200, 401)


@pytest.mark.parametrize("bad", [{"method": "usb"}, {"timeout": 0}, {"timeout": 1e9}, {"device_id": "a/b"}, {"x": 1}])
async def test_a_wait_that_makes_no_sense_is_refused(lite: RunningHub, bad: dict[str, Any]) -> None:
    answer = await lite.client.post("/provision/wait", json={"method": "ble", **bad}, headers=ADMIN)
    assert answer.status_code == 422
    assert lite.metric("provision_waits_in_progress") == 0


async def test_two_thousand_wait_at_once_and_all_are_answered(lite: RunningHub) -> None:
    asked = [wait(lite, device_id=f"d{n % 100}", timeout=60) for n in range(2000)]
    await lite.until(lambda: lite.metric("provision_waits_in_progress") == 2000, 30)
    for n in range(100):
        await state(lite, f"d{n}")
    answers = await asyncio.gather(*asked)
    assert {a["status"] for a in answers} == {"success"}
    assert [a["device_id"] for a in answers] == [f"d{n % 100}" for n in range(2000)]
    assert lite.metric("provision_waits_in_progress") == 0


async def test_there_are_only_so_many_waits(tmp_path: Path) -> None:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", max_waits=1) as hub:
        first = wait(hub, timeout=0.5)
        await begun(hub)
        second = await hub.client.post("/provision/wait", json={"method": "ble"}, headers=ADMIN)
        assert (second.status_code, second.headers["retry-after"]) == (503, "5")
        assert (await first)["status"] == "timeout"


async def test_a_waiter_that_disconnects_is_forgotten(lite: RunningHub) -> None:
    body = b'{"method":"ble","timeout":60}'
    gone = asyncio.Event()
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        pass

    headers = [(b"content-type", b"application/json"), (b"authorization", ADMIN["Authorization"].encode())]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/provision/wait",
        "raw_path": b"/provision/wait",
        "query_string": b"",
        "headers": headers,
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("hub", 80),
        "root_path": "",
        "http_version": "1.1",
    }
    asked = asyncio.create_task(lite.app(scope, receive, send))
    await begun(lite)
    gone.set()
    await asyncio.wait_for(asked, 5)
    assert lite.metric("provision_waits_in_progress") == 0
    assert lite.metric("provision_waits_total", method="ble", outcome="disconnected") == 1


@pytest.fixture
def event_log(tmp_path: Path) -> Iterator[tuple[EventLog, Path, list[int]]]:
    failed: list[int] = []
    log = EventLog(tmp_path / "deep" / "events.jsonl", failed.append)
    yield log, tmp_path / "deep" / "events.jsonl", failed
    log.close()


async def settled(log: EventLog) -> None:
    while log.depth:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)


@pytest.mark.parametrize("rotation", ["rename", "copytruncate"])
async def test_a_rotated_log_loses_no_line(event_log: tuple[EventLog, Path, list[int]], rotation: str) -> None:
    log, path, failed = event_log
    old = path.with_suffix(".1")
    for n in range(100):
        log.write("state_message", {"n": n})
        if n == 49:
            await settled(log)
            if rotation == "rename":
                path.rename(old)
            else:
                old.write_bytes(path.read_bytes())
                os.truncate(path, 0)
    await settled(log)
    lines = old.read_text().splitlines() + path.read_text().splitlines()
    assert [json.loads(line)["n"] for line in lines] == list(range(100))
    assert failed == []


async def test_a_full_disk_loses_whole_lines_and_counts_them(event_log: tuple[EventLog, Path, list[int]]) -> None:
    log, path, failed = event_log
    log.write("state_message", {"n": 0})
    await settled(log)
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        for n in (1, 2):
            log.write("state_message", {"n": n})
        await settled(log)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.write("state_message", {"n": 3})
    await settled(log)
    assert [json.loads(line)["n"] for line in path.read_text().splitlines()] == [0, 3]
    assert sum(failed) == 2


async def test_a_log_that_cannot_be_written_never_breaks_a_wait(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    blocked = str(tmp_path / "file" / "events.jsonl")
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", provision_event_log=blocked) as hub:
        assert (await wait(hub, timeout=0.1))["status"] == "timeout"
        await hub.until(lambda: hub.metric("provision_event_log_failures_total") == 2)


async def test_a_blank_path_switches_the_log_off(tmp_path: Path) -> None:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", provision_event_log="") as hub:
        assert (await wait(hub, timeout=0.1))["status"] == "timeout"
        assert hub.metric("provision_event_log_failures_total") == 0
    assert not list(tmp_path.glob("*events*"))


async def test_a_hundred_thousand_hostile_messages_are_counted_and_harm_nothing(tmp_path: Path) -> None:
    dice = random.Random(7)
    topics = [
        "plant//state",
        "plant/a b/state",
        "plant/" + "x" * 200 + "/state",
        "plant/é/state",
        "other/x/y",
        "plant/ok/state",
    ]
    payloads = [b"", b"[]", b"null", b"{", b"\xff\xfe", b'"x"', b"{}" + b" " * 70_000, b"[" * 5000, b'{"a":NaN}']
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", log_level="WARNING") as hub:
        for _ in range(100_000):
            await hub.hub.mqtt.dispatch(dice.choice(topics), dice.choice(payloads), dice.random() < 0.5)
        samples = [s for m in hub.hub.metrics.registry.collect() if m.name == "hub_mqtt_refused" for s in m.samples]
        assert sum(s.value for s in samples) == 100_000
        assert len(samples) < 10
        assert hub.metric("hub_mqtt_refused_total", reason="error") == 0
        assert await hub.rows(select(devices)) == []


async def test_only_so_many_devices_become_known(tmp_path: Path) -> None:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", max_devices=3) as hub:
        for n in range(10):
            await state(hub, f"d{n}")
        assert hub.metric("hub_mqtt_refused_total", reason="too many devices") == 7


@pytest.fixture
async def with_broker(tmp_path: Path) -> AsyncIterator[tuple[RunningHub, Mosquitto]]:
    broker = Mosquitto(tmp_path)
    broker.start()
    try:
        async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", mqtt_url=broker.url) as hub:
            await hub.until(lambda: "mqtt" not in hub.hub.problems)
            await asyncio.sleep(0.2)
            yield hub, broker
    finally:
        broker.stop()


async def test_a_real_broker_brings_states_and_says_what_was_retained(
    with_broker: tuple[RunningHub, Mosquitto], tmp_path: Path
) -> None:
    hub, broker = with_broker
    asked = wait(hub, device_id="fern")
    await begun(hub)
    await asyncio.to_thread(broker.publish, "plant/fern/state", STATE)
    assert (await asked)["status"] == "success"
    assert hub.metric("hub_mqtt_connected") == 1


async def test_subscriptions_are_kept_when_the_broker_comes_back(with_broker: tuple[RunningHub, Mosquitto]) -> None:
    hub, broker = with_broker
    await asyncio.to_thread(broker.stop)
    await hub.until(lambda: "mqtt" in hub.hub.problems)
    assert hub.metric("hub_mqtt_connected") == 0
    ready = await hub.client.get("/readyz")
    assert (ready.status_code, "mqtt" in ready.json()["problems"]) == (200, True)
    assert (await wait(hub, timeout=0.1))["status"] == "timeout", "waits go on without the broker"
    await asyncio.to_thread(broker.start)
    await hub.until(lambda: hub.metric("hub_mqtt_connected") == 1, 15)
    asked = wait(hub, device_id="fern", timeout=10)
    await asyncio.sleep(0.3)
    await asyncio.to_thread(broker.publish, "plant/fern/state", STATE)
    assert (await asked)["status"] == "success"
