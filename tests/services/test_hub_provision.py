"""Waits for devices, and their events in the log file, the log and the metrics."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from hub_broker import Mosquitto
from hub_support import ADMIN, RunningHub, asgi_scope, bearer, running
from hub_waits import begun, events, state, wait
from sqlalchemy import select

from hub.store.tables import devices

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]


async def test_a_device_that_comes_online_answers_the_wait(hub: RunningHub, tmp_path: Path) -> None:
    asked = wait(hub, require_fresh=True, device_id="AABBCC112233", timeout=45)
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
        "timeout": 45.0,
        "require_fresh": True,
    }
    seen = {"device_id": "AABBCC112233", "retained": False, "created": True, "waiters_notified": 1}
    assert message == {"event": "state_message", **seen}
    elapsed = success.pop("elapsed")
    assert 0 <= elapsed < 45
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


async def test_a_time_out_says_when_no_device_could_be_heard(lite: RunningHub, tmp_path: Path) -> None:
    """What an app makes of it: the device has failed, or nobody knows."""
    told = await wait(lite, timeout=0.1)
    assert (told["status"], told["problem"]) == ("timeout", "no broker is set up (HUB_MQTT_URL)")
    with Mosquitto(tmp_path) as broker:
        async with running(tmp_path, f"sqlite:///{tmp_path}/other.db", mqtt_url=broker.url) as hub:
            await hub.until(lambda: hub.metric("hub_mqtt_connected") == 1)
            answer = await wait(hub, timeout=0.1)
            assert answer == {**answer, "status": "timeout", "device_id": None, "fresh": False, "problem": None}
            broker.stop()
            await hub.until(lambda: hub.metric("hub_mqtt_connected") == 0)
            for _ in range(3):
                answer = await wait(hub, timeout=0.3)
                assert answer["status"] == "timeout"
                assert answer["problem"].startswith("the broker is away: ")
            broker.start()
            asked = wait(hub, timeout=60)
            await begun(hub)
            await hub.until(lambda: hub.metric("hub_mqtt_connected") == 1, 30)
            await state(hub)
            assert (await asked)["problem"] is None
            assert (await wait(hub, timeout=0.1))["problem"] is None


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


async def test_a_retained_message_that_comes_again_says_nothing_of_when_its_device_was_seen(lite: RunningHub) -> None:
    waits = lite.hub.provisioning.waits
    await state(lite, "older", retained=True)
    before = waits.known("older")
    await state(lite, "newer")
    asked = wait(lite, device_id="older", timeout=60)
    await begun(lite)
    await state(lite, "older", retained=True)
    assert waits.known("older") is before
    assert (await wait(lite, require_fresh=False))["device_id"] == "newer"
    await state(lite, "older")
    assert (await asked)["fresh"] is True
    assert (await wait(lite, require_fresh=False))["device_id"] == "older"
    seen = waits.known("older")
    await state(lite, "older", retained=True)
    assert waits.known("older") is seen


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
        first = wait(hub, timeout=2)
        await begun(hub)
        second = await hub.client.post("/provision/wait", json={"method": "ble"}, headers=ADMIN)
        assert (second.status_code, second.headers["retry-after"]) == (503, "5")
        assert (second.json()["code"], second.headers["connection"]) == ("too_many_waits", "close")
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
    asked = asyncio.create_task(lite.app(asgi_scope("POST", "/provision/wait", headers), receive, send))
    await begun(lite)
    gone.set()
    await asyncio.wait_for(asked, 5)
    assert lite.metric("provision_waits_in_progress") == 0
    assert lite.metric("provision_waits_total", method="ble", outcome="disconnected") == 1
