"""FCM in trouble: what passes is waited out, what lasts ends the run."""

import asyncio
import time
from pathlib import Path

import pytest
from hub_fcm_standin import FcmStandin, error
from hub_phone import command, run_of, with_fcm
from hub_support import ADMIN, RunningHub, running
from sqlalchemy import select
from tenacity import AsyncRetrying, RetryCallState

from hub.runs.dispatch import spread
from hub.runs.fcm import retry_after
from hub.store.tables import devices
from lab.ports import free_port

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]


UNAVAILABLE = error(503, "UNAVAILABLE", "UNAVAILABLE")
RECOVERS = {
    "unavailable": UNAVAILABLE,
    "internal": error(500, "INTERNAL", "INTERNAL"),
    "html": (502, {"Content-Type": "text/html"}, b"<html>Bad gateway</html>"),
    "quota": error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", retry_after="1"),
    "unauthenticated": error(401, "UNAUTHENTICATED"),
}


@pytest.mark.parametrize("trouble", RECOVERS)
async def test_a_passing_trouble_of_fcm_is_waited_out(phone: tuple[RunningHub, FcmStandin], trouble: str) -> None:
    hub, fcm = phone
    await hub.enrol(fcm_token="token-1")
    fcm.answers.append(RECOVERS[trouble])
    began = time.monotonic()
    assert (await command(hub)).json()["status"] == "sent"
    assert len(fcm.sent) == 1
    assert time.monotonic() - began >= 1 or trouble != "quota"


async def test_a_pause_that_fcm_asked_for_is_kept_by_all_without_asking_it(tmp_path: Path, fcm: FcmStandin) -> None:
    async with with_fcm(tmp_path, f"sqlite:///{tmp_path}/hub.db", fcm, dispatch_wait=0.5) as hub:
        await hub.enrol(fcm_token="token-1")
        fcm.answers.append(error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", retry_after="600"))
        first = (await command(hub, request_id="first")).json()
        assert (first["status"], first["problem"]) == ("queued", "QUOTA_EXCEEDED")
        second = (await command(hub, request_id="second")).json()
        assert (second["status"], second["problem"]) == ("queued", "PAUSED")
        keys = ("fcm_http_code", "fcm_status")
        told = {line["request_id"]: tuple(line[key] for key in keys) for line in hub.lines("dispatch.fail")}
        assert told == {"first": (429, "QUOTA_EXCEEDED"), "second": (None, "PAUSED")}
        (line,) = [line for line in hub.lines("dispatch.fail") if line["request_id"] == "second"]
        assert line["dispatch_latency_ms"] is None
        assert hub.metric("fcm_dispatch_latency_ms_count", action="restart") == 1, "of calls that were made"
        assert fcm.sent == []


def test_who_waits_for_the_same_moment_does_not_come_at_once() -> None:
    state = RetryCallState(AsyncRetrying(), None, (), {})
    pauses = {spread(60, state) for _ in range(100)}
    assert len(pauses) > 90
    assert all(60 <= pause <= 75 for pause in pauses)


async def test_a_giver_of_access_tokens_that_cannot_be_reached_is_waited_out(
    phone: tuple[RunningHub, FcmStandin],
) -> None:
    hub, fcm = phone
    await hub.enrol(fcm_token="token-1")
    fcm.tokens_cut = 2
    assert (await command(hub)).json()["status"] == "sent"
    assert (fcm.tokens_cut, len(fcm.sent)) == (0, 1)
    told = {(line["fcm_status"], line["level"]) for line in hub.lines("dispatch.fail")}
    assert told == {("OAUTH_UNAVAILABLE", "warning")}


FATAL = {
    "unregistered": (error(404, "NOT_FOUND", "UNREGISTERED"), None),
    "bad token": (error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.token"), None),
    "bad data": (error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.data"), "token-1"),
    "bare 404": ((404, {}, b"not here"), "token-1"),
    "sender": (error(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), "token-1"),
    "third party": (error(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), "token-1"),
}


@pytest.mark.parametrize("trouble", FATAL)
async def test_a_lasting_trouble_ends_the_run_and_only_a_dead_token_is_forgotten(
    phone: tuple[RunningHub, FcmStandin], trouble: str
) -> None:
    hub, fcm = phone
    await hub.enrol(fcm_token="token-1")
    answer, token_after = FATAL[trouble]
    fcm.answers.extend([answer, answer])
    taken = (await command(hub)).json()
    assert taken["status"] == "error"
    (stored,) = await hub.rows(select(devices))
    assert stored["fcm_token"] == token_after
    line = hub.lines("dispatch.fail")[-1]
    assert (line["fcm_http_code"], line["request_id"]) == (answer[0], taken["request_id"])
    assert (line["level"] == "error") == (trouble in {"sender", "third party"})
    assert fcm.sent == []


async def test_a_send_that_timed_out_is_sent_again_with_the_same_id(phone: tuple[RunningHub, FcmStandin]) -> None:
    hub, fcm = phone
    await hub.enrol(fcm_token="token-1")
    fcm.delay = 1.3
    task = asyncio.create_task(command(hub))
    await hub.until(lambda: len(fcm.sent) == 1)
    fcm.delay = 0
    assert (await task).json()["status"] == "sent"
    assert len({message["data"]["request_id"] for message in fcm.sent}) == 1


async def test_an_expired_access_token_is_fetched_once_for_two_hundred_sends(tmp_path: Path, fcm: FcmStandin) -> None:
    async with with_fcm(tmp_path, f"sqlite:///{tmp_path}/hub.db", fcm, fcm_timeout=20) as hub:
        await hub.enrol(fcm_token="token-1")
        answers = await asyncio.gather(*(command(hub, request_id=f"r{n}") for n in range(200)))
        assert {a.json()["status"] for a in answers} == {"sent"}
        assert (len(fcm.sent), fcm.tokens) == (200, 1)


async def test_a_token_that_expires_under_two_hundred_sends_is_fetched_anew_once(
    tmp_path: Path, fcm: FcmStandin
) -> None:
    fcm.expire_after, fcm.delay = 100, 0.02
    async with with_fcm(tmp_path, f"sqlite:///{tmp_path}/hub.db", fcm, fcm_timeout=20) as hub:
        await hub.enrol(fcm_token="token-1")
        answers = await asyncio.gather(*(command(hub, request_id=f"r{n}") for n in range(200)))
        assert {a.json()["status"] for a in answers} == {"sent"}
        assert sorted(m["data"]["request_id"] for m in fcm.sent) == sorted(f"r{n}" for n in range(200))
        assert fcm.tokens == 2
        assert hub.lines("dispatch.fail") == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, 60), ("5", 5), ("-3", 60), ("soon", 60), ("9" * 40, 600), ("", 60), ("Wed, 21 Oct 2015 07:28:00 GMT", 1)],
)
def test_retry_after_makes_sense_of_anything(value: str | None, seconds: float) -> None:
    assert retry_after(value) == seconds


async def test_without_fcm_a_device_that_has_a_token_gets_its_commands_by_mqtt(tmp_path: Path) -> None:
    away = f"mqtt://127.0.0.1:{free_port()}"
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", mqtt_url=away, dispatch_wait=0) as hub:
        await hub.enrol(fcm_token="token-1")
        taken = (await command(hub)).json()
        assert (taken["protocol"], taken["status"], taken["error"]) == ("mqtt", "queued", None)


async def test_fcm_that_is_not_set_up_is_said_at_once(lite: RunningHub) -> None:
    await lite.enrol(fcm_token="token-1")
    answer = await command(lite, protocol="fcm")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_fcm")
    assert (await command(lite, device_id="nobody")).status_code == 404


async def test_a_command_that_has_not_left_yet_does_not_go_to_a_device_that_is_revoked(
    tmp_path: Path, database_url: str, fcm: FcmStandin
) -> None:
    async with with_fcm(tmp_path, database_url, fcm, dispatch_wait=0) as hub:
        await hub.enrol(fcm_token="token-1")
        fcm.answers.extend([error(503, "UNAVAILABLE", retry_after="1")] * 60)
        await command(hub, request_id="late")
        await hub.until(lambda: len(fcm.answers) < 60)
        assert (await hub.client.delete("/admin/devices/tablet-1", headers=ADMIN)).status_code == 200
        fcm.answers.clear()

        async def ended() -> bool:
            return (await run_of(hub, "late"))["error"] == "dispatch failed: the device is revoked"

        await hub.until(ended)
        assert fcm.sent == []
