"""Runs: a command leaves, output streams in, the result or the time-out ends it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiomqtt
import httpx
import pytest
from hub_broker import Mosquitto
from hub_fcm_standin import FcmStandin, error
from hub_phone import command, run_of, with_fcm
from hub_support import ADMIN, RunningHub, running
from sqlalchemy import select

from hub import registry
from hub.runs.output import PIECE_BYTES
from hub.store.tables import run_chunks, runs
from lab.ports import free_port

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]


async def test_a_run_from_command_to_result(phone: tuple[RunningHub, FcmStandin]) -> None:
    hub, fcm = phone
    device = await hub.enrol(fcm_token="token-1", site="north", alias="Kiln tablet")
    taken = await command(hub, {"X-Request-ID": "req-1"}, params={"delay": 3})
    assert taken.json() == {
        "request_id": "req-1",
        "device_id": "tablet-1",
        "status": "sent",
        "protocol": "fcm",
        "created": True,
        "error": None,
        "problem": None,
    }
    (message,) = fcm.sent
    assert message["token"] == "token-1"
    assert message["data"] == {"request_id": "req-1", "action": "restart", "params": '{"delay":3}'}
    for seq, text in enumerate(["one ", "two"]):
        body = {"seq": seq, "data": text}
        assert (await hub.client.post("/v1/runs/req-1/chunks", json=body, headers=device)).json()["stored"]
    assert (await run_of(hub, "req-1"))["status"] == "running"
    result = {"request_id": "req-1", "outcome": "ok", "data": {"code": 0}}
    assert (await hub.client.post("/v1/action-result", json=result, headers=device)).json()["status"] == "ok"
    run = await run_of(hub, "req-1")
    assert (run["status"], run["bytes"], run["chunks"]) == ("ok", 7, 2)
    assert "".join(part["data"] for part in run["output"]) == "one two"
    assert json.loads(run["result"]) == {"data": {"code": 0}}
    tags = {"device_site": "north", "protocol": "fcm"}
    assert hub.metric("runs_created_total", **tags) == 1
    assert hub.metric("runner_start_total", **tags, status="started") == 1
    assert hub.metric("runner_stop_total", **tags, status="ok") == 1
    assert hub.metric("runner_duration_seconds_count", **tags, status="ok") == 1
    assert hub.metric("runner_bytes_processed", **tags, status="ok") == 7
    assert hub.metric("run_chunks_total", **tags) == 2
    assert hub.metric("run_chunk_bytes_total", **tags) == 7
    assert hub.metric("run_bytes_sum", **tags) == 7
    assert hub.metric("fcm_dispatch_latency_ms_count", action="restart") == 1


async def test_one_request_id_is_seen_from_command_to_result(phone: tuple[RunningHub, FcmStandin]) -> None:
    hub, fcm = phone
    device = await hub.enrol(fcm_token="token-1", alias="Kiln tablet")
    request_id = (await command(hub)).json()["request_id"]
    await hub.client.post("/v1/action-result", json={"request_id": request_id, "outcome": "ok"}, headers=device)
    about = {"request_id": request_id, "device_id": "tablet-1", "alias": "Kiln tablet", "action": "restart"}
    for event in ("dispatch.request", "dispatch.sent", "action_result.ingest"):
        (line,) = hub.lines(event)
        assert about.items() <= line.items()
    assert fcm.sent[0]["data"]["request_id"] == request_id
    (sent,) = hub.lines("dispatch.sent")
    assert (sent["fcm_http_code"], sent["fcm_status"]) == (200, "OK")
    assert sent["dispatch_latency_ms"] > 0
    assert [row["request_id"] for row in await hub.rows(select(runs))] == [request_id]


def in_order(hub: RunningHub, request_id: str) -> list[str]:
    """The events of a request id in the order of their lines, which are in the order of their times."""
    lines = [line for line in hub.lines() if line.get("request_id") == request_id]
    assert [line["ts"] for line in lines] == sorted(line["ts"] for line in lines)
    return [line["event"] for line in lines]


FROM_COMMAND_TO_RESULT = ["dispatch.request", "dispatch.sent", "action_result.ingest"]


@pytest.mark.parametrize("wait", [0, 2], ids=["answered before it leaves", "answered when it has left"])
async def test_the_lines_of_a_request_id_are_in_the_order_in_which_things_happen(
    tmp_path: Path, database_url: str, fcm: FcmStandin, wait: float
) -> None:
    async with with_fcm(tmp_path, database_url, fcm, dispatch_wait=wait) as hub:
        device = await hub.enrol(fcm_token="token-1")
        fcm.delay = 0.3
        asked = asyncio.create_task(command(hub, request_id="quick"))
        await hub.until(lambda: fcm.sent)
        result = {"request_id": "quick", "outcome": "ok"}
        ended = await hub.client.post("/v1/action-result", json=result, headers=device)
        assert ended.json() == {"request_id": "quick", "status": "ok", "replayed": False}
        assert (await asked).status_code == 200
        assert in_order(hub, "quick") == FROM_COMMAND_TO_RESULT
        (sent,) = hub.lines("dispatch.sent")
        assert sent["dispatch_latency_ms"] >= 300
        assert (await run_of(hub, "quick"))["sent_at"] is not None


async def test_a_result_does_not_wait_for_a_confirmation_that_does_not_come(
    phone: tuple[RunningHub, FcmStandin],
) -> None:
    hub, fcm = phone
    device = await hub.enrol(fcm_token="token-1")
    fcm.answers.extend([error(503, "UNAVAILABLE")] * 100)
    asked = asyncio.create_task(command(hub, request_id="lost"))
    await hub.until(lambda: len(fcm.answers) < 98)
    ended = await hub.client.post("/v1/action-result", json={"request_id": "lost", "outcome": "ok"}, headers=device)
    assert ended.json()["status"] == "ok"
    assert (await asked).json()["status"] == "ok"
    events = in_order(hub, "lost")
    assert (events[0], events[-1]) == ("dispatch.request", "action_result.ingest")
    assert set(events[1:-1]) == {"dispatch.fail"}


async def test_plants_that_answer_at_once_by_mqtt_leave_their_lines_in_order(tmp_path: Path, database_url: str) -> None:
    broker = Mosquitto(tmp_path)
    await asyncio.to_thread(broker.start)
    try:
        async with running(tmp_path, database_url, mqtt_url=broker.url) as hub:
            await hub.enrol("fern", kind="plant")
            async with aiomqtt.Client("127.0.0.1", broker.port) as plant:
                await plant.subscribe("plant/fern/cmd/#", qos=1)

                async def answer() -> None:
                    async for message in plant.messages:
                        request_id = json.loads(bytes(message.payload))["request_id"]
                        await plant.publish(f"plant/fern/run/{request_id}/result", '{"outcome":"ok"}', qos=1)

                answering = asyncio.create_task(answer())
                names = [f"water-{n}" for n in range(20)]
                await asyncio.gather(*(command(hub, device_id="fern", request_id=name) for name in names))
                await hub.until(lambda: len(hub.lines("action_result.ingest")) == len(names))
                answering.cancel()
            assert {name: in_order(hub, name) for name in names} == dict.fromkeys(names, FROM_COMMAND_TO_RESULT)
    finally:
        await asyncio.to_thread(broker.stop)


async def test_the_same_command_twice_is_one_run_and_one_message(phone: tuple[RunningHub, FcmStandin]) -> None:
    hub, fcm = phone
    await hub.enrol(fcm_token="token-1")
    answers = await asyncio.gather(*(command(hub, request_id="same") for _ in range(10)))
    assert sorted(a.json()["created"] for a in answers) == [False] * 9 + [True]
    assert len(fcm.sent) == 1
    assert (await command(hub, request_id="same", action="other")).status_code == 409


async def test_a_command_that_is_asked_again_is_the_run_of_before_whatever_became_of_the_device(
    tmp_path: Path, database_url: str, fcm: FcmStandin
) -> None:
    async with with_fcm(tmp_path, database_url, fcm, dispatch_wait=0) as hub:
        device = await hub.enrol(fcm_token="token-1")

        async def again(request_id: str, **body: Any) -> tuple[int, Any, Any]:
            answer = await command(hub, request_id=request_id, **body)
            return answer.status_code, answer.json().get("protocol"), answer.json().get("created")

        assert await again("with") == (200, "fcm", True)
        await hub.until(lambda: fcm.sent, 30)
        await hub.hub.db.write(registry.forget_fcm_token("tablet-1", "token-1"))
        assert await again("with") == (200, "fcm", False)
        assert await again("with", protocol="mqtt") == (409, None, None), "that was never asked"
        assert await again("without") == (200, "mqtt", True)
        beat = {"status": "ok", "fcm_token": "token-2"}
        assert (await hub.client.post("/v1/heartbeat", json=beat, headers=device)).status_code == 200
        assert await again("without") == (200, "mqtt", False)
        assert (await hub.client.delete("/admin/devices/tablet-1", headers=ADMIN)).status_code == 200
        assert await again("with") == (200, "fcm", False)
        assert await again("without", action="other") == (409, None, None)
        assert (await command(hub, request_id="new")).json()["code"] == "device_revoked"
        assert len(fcm.sent) == 1


async def test_results_and_chunks_are_the_own_devices_and_replay_safely(phone: tuple[RunningHub, FcmStandin]) -> None:
    hub, _ = phone
    device, other = await hub.enrol(fcm_token="token-1"), await hub.enrol("tablet-2")
    request_id = (await command(hub)).json()["request_id"]

    async def chunk(headers: dict[str, str], **body: Any) -> httpx.Response:
        return await hub.client.post(f"/v1/runs/{request_id}/chunks", json={"seq": 0, **body}, headers=headers)

    async def result(headers: dict[str, str], outcome: str) -> httpx.Response:
        body = {"request_id": request_id, "outcome": outcome}
        return await hub.client.post("/v1/action-result", json=body, headers=headers)

    assert (await chunk(other, data="x")).status_code == 404
    assert (await result(other, "ok")).status_code == 404
    assert [(await chunk(device, data="x")).json()["stored"] for _ in range(2)] == [True, False]
    assert (await chunk(device, data="y")).status_code == 409
    assert [(await result(device, "ok")).json()["replayed"] for _ in range(2)] == [False, True]
    assert (await result(device, "error")).status_code == 409
    assert (await chunk(device, data="late", seq=9)).status_code == 409
    assert (await chunk(device, data="x")).json()["stored"] is False
    assert [row["data"] for row in await hub.rows(select(run_chunks))] == [b"x"]


async def test_twenty_chunks_at_once_are_counted_right(phone: tuple[RunningHub, FcmStandin]) -> None:
    hub, _ = phone
    device = await hub.enrol(fcm_token="token-1")
    request_id = (await command(hub)).json()["request_id"]
    sent = [{"seq": n % 20, "data": "x" * 10} for n in range(40)]
    url = f"/v1/runs/{request_id}/chunks"
    answers = await asyncio.gather(*(hub.client.post(url, json=body, headers=device) for body in sent))
    assert {a.status_code for a in answers} == {200}
    run = await run_of(hub, request_id)
    assert (run["chunks"], run["bytes"]) == (20, 200)


@pytest.mark.parametrize("case", [(2 * PIECE_BYTES + 8, "1234", 2), (2 * PIECE_BYTES + 7, "1234", 1), (250, "", 2)])
async def test_output_has_a_limit_also_when_its_pieces_are_empty(
    tmp_path: Path, database_url: str, fcm: FcmStandin, case: tuple[int, str, int]
) -> None:
    """The most bytes, what each piece has, and how many pieces there is room for."""
    most, piece, taken = case
    async with with_fcm(tmp_path, database_url, fcm, run_max_bytes=most) as hub:
        device = await hub.enrol(fcm_token="token-1")
        run = (await command(hub)).json()["request_id"]
        sent = [{"seq": n, "data": piece} for n in range(3)] + [{"seq": 0, "data": piece}]
        codes = [(await hub.client.post(f"/v1/runs/{run}/chunks", json=b, headers=device)).status_code for b in sent]
        assert codes == [200] * taken + [413] * (3 - taken) + [200], "what is there is no more when it comes again"
        found = await run_of(hub, run)
        assert (found["chunks"], found["bytes"]) == (taken, taken * len(piece)), "a run's bytes are its output's"


async def test_a_run_without_result_ends_as_time_out(phone: tuple[RunningHub, FcmStandin]) -> None:
    hub, _ = phone
    device = await hub.enrol(fcm_token="token-1")
    request_id = (await command(hub, timeout_s=0.3)).json()["request_id"]
    await hub.until(lambda: hub.metric("runner_error_total", device_site="none", protocol="fcm", status="timeout") == 1)
    assert (await run_of(hub, request_id))["error"] == "no result in time"
    late = await hub.client.post("/v1/action-result", json={"request_id": request_id, "outcome": "ok"}, headers=device)
    assert (late.status_code, late.json()["status"], late.json()["replayed"]) == (200, "timeout", True)


async def test_runs_are_taken_up_after_a_restart(tmp_path: Path, database_url: str, fcm: FcmStandin) -> None:
    fcm.answers.extend([error(503, "UNAVAILABLE")] * 1000)
    async with with_fcm(tmp_path, database_url, fcm, dispatch_wait=0, fcm_backoff=0.5) as hub:
        await hub.enrol(fcm_token="token-1")
        assert (await command(hub, request_id="a", timeout_s=60)).json()["status"] == "queued"
        assert (await command(hub, request_id="b", timeout_s=0.5)).json()["status"] == "queued"
    fcm.answers.clear()
    await asyncio.sleep(0.5)
    async with with_fcm(tmp_path, database_url, fcm) as hub:

        async def both() -> bool:
            return [(await run_of(hub, name))["status"] for name in "ab"] == ["sent", "timeout"]

        await hub.until(both)
    assert {message["data"]["request_id"] for message in fcm.sent} >= {"a"}


async def test_a_plant_gets_its_command_by_mqtt_and_answers_by_mqtt(tmp_path: Path, database_url: str) -> None:
    broker = Mosquitto(tmp_path)
    async with running(tmp_path, database_url, mqtt_url=broker.url, dispatch_wait=0) as hub:
        await hub.enrol("fern", kind="plant", site="window")
        request_id = (await command(hub, device_id="fern", action="water", params={"ml": 50})).json()["request_id"]
        got: asyncio.Queue[Any] = asyncio.Queue()
        await asyncio.to_thread(broker.start)
        try:
            async with aiomqtt.Client("127.0.0.1", broker.port) as plant:
                await plant.subscribe("plant/fern/cmd/#", qos=1)
                message = await asyncio.wait_for(anext(aiter(plant.messages)), 20)
                await got.put((message.topic.value, json.loads(bytes(message.payload))))
                base = f"plant/fern/run/{request_id}"
                for seq in (0, 0, 1):
                    await plant.publish(f"{base}/chunk", json.dumps({"seq": seq, "data": "drip "}), qos=1)
                await plant.publish(f"plant/other/run/{request_id}/result", '{"outcome":"error"}', qos=1)
                await plant.publish(f"{base}/result", "nonsense", qos=1)
                await plant.publish(f"{base}/result", '{"outcome":"ok"}', qos=1)

                async def ended() -> bool:
                    return (await run_of(hub, request_id))["status"] == "ok"

                await hub.until(ended)
        finally:
            await asyncio.to_thread(broker.stop)
        topic, payload = got.get_nowait()
        assert topic == "plant/fern/cmd/water"
        assert payload == {"request_id": request_id, "action": "water", "params": {"ml": 50}}
        run = await run_of(hub, request_id)
        assert (run["chunks"], run["bytes"]) == (2, 10)
        assert hub.metric("hub_mqtt_refused_total", reason="not_found") == 1
        assert hub.metric("hub_mqtt_refused_total", reason="not a chunk or result") == 1


NO_NUMBERS = ("1e400", "-1e400", "NaN", "Infinity", "-Infinity", '[{"b": 1e999}]')


@pytest.mark.parametrize("value", NO_NUMBERS)
async def test_what_is_no_number_is_refused_instead_of_sent_as_null(
    phone: tuple[RunningHub, FcmStandin], value: str
) -> None:
    hub, fcm = phone
    headers = {"Content-Type": "application/json"}
    device = await hub.enrol(fcm_token="token-1")
    body = '{"device_id": "tablet-1", "action": "heat", "params": {"a": VALUE}}'.replace("VALUE", value)
    answer = await hub.client.post("/admin/command", content=body, headers={**ADMIN, **headers})
    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, "body.params")
    assert (fcm.sent, await hub.rows(select(runs))) == ([], [])
    assert (await command(hub, request_id="run-1", params={"a": 1.7e308, "b": None})).status_code == 200
    result = '{"request_id": "run-1", "outcome": "ok", "data": {"a": VALUE}}'.replace("VALUE", value)
    answer = await hub.client.post("/v1/action-result", content=result, headers={**device, **headers})
    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, "body.data")
    by_mqtt = b'{"outcome": "ok", "data": {"a": VALUE}}'.replace(b"VALUE", value.encode())
    await hub.hub.mqtt.dispatch("tablet/tablet-1/run/run-1/result", by_mqtt, False)
    assert hub.metric("hub_mqtt_refused_total", reason="not a chunk or result") == 1
    assert (await run_of(hub, "run-1"))["status"] == "sent"


async def test_a_command_says_why_it_has_not_left_yet(tmp_path: Path, database_url: str, fcm: FcmStandin) -> None:
    away = f"mqtt://127.0.0.1:{free_port()}"
    async with with_fcm(tmp_path, database_url, fcm, mqtt_url=away, dispatch_wait=0.3, fcm_backoff=1.0) as hub:
        device = await hub.enrol(fcm_token="token-1")
        for _ in range(2):
            taken = (await command(hub, protocol="mqtt", request_id="a")).json()
            assert (taken["status"], taken["error"]) == ("queued", None)
            assert taken["problem"] == "the broker is not connected"
        fcm.answers.extend([error(503, "UNAVAILABLE")] * 100)
        taken = (await command(hub, request_id="b")).json()
        assert (taken["status"], taken["problem"]) == ("queued", "UNAVAILABLE")
        fcm.answers.clear()
        await hub.client.post("/v1/action-result", json={"request_id": "a", "outcome": "ok"}, headers=device)
        assert (await command(hub, request_id="c")).json()["problem"] is None
        ended = (await command(hub, protocol="mqtt", request_id="a")).json()
        assert (ended["status"], ended["problem"]) == ("ok", None)


async def test_a_command_that_is_refused_is_logged_with_what_is_known_of_the_device(lite: RunningHub) -> None:
    await lite.enrol(alias="Anna")
    await lite.client.delete("/admin/devices/tablet-1", headers=ADMIN)
    assert (await command(lite)).status_code == 409
    assert (await command(lite, device_id="nobody")).status_code == 404
    aliases = [line["alias"] for line in lite.lines("dispatch.request")]
    assert aliases == ["Anna", None]
