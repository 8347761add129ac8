"""Logs, counters and correlation: what they must show."""

import logging
from pathlib import Path
from typing import Any

import pytest
from hub_away import away
from hub_fcm_standin import FcmStandin
from hub_support import ADMIN, RunningHub, bearer, running
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from hub.ids import new_token
from hub.store.tables import heartbeats

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]
APK = b"PK\x03\x04 an APK"
COMMON = {
    "ts",
    "level",
    "event",
    "request_id",
    "route",
    "ip",
    "user_agent",
    "device_id",
    "alias",
    "status_code",
    "latency_ms",
}
DOMAIN = {
    "register.success": {"device_id", "alias", "token_id", "result"},
    "heartbeat.ingest": {"device_id", "status", "battery_pct", "network_type", "uptime_s"},
    "dispatch.request": {"request_id", "device_id", "action", "fcm_http_code", "fcm_status", "dispatch_latency_ms"},
    "dispatch.sent": {"request_id", "device_id", "action", "fcm_http_code", "fcm_status", "dispatch_latency_ms"},
    "action_result.ingest": {"request_id", "device_id", "action", "outcome"},
    "apk.download": {"build_id", "version_code", "version_name", "build_type", "token_id", "source"},
    "sec.token.create": {"reason", "token_id"},
    "sec.token.consume": {"reason", "token_id"},
}
ROUTES = {
    "register.success": "/v1/register",
    "heartbeat.ingest": "/v1/heartbeat",
    "dispatch.request": "/admin/command",
    "action_result.ingest": "/v1/action-result",
    "apk.download": "/v1/apk/download-latest",
}


async def test_each_route_leaves_its_line_with_every_key(tmp_path: Path, database_url: str) -> None:
    fcm = FcmStandin(tmp_path)
    given: dict[str, Any] = {"fcm_credentials_file": fcm.credentials, "fcm_url": fcm.url, "log_level": "INFO"}
    async with running(tmp_path, database_url, **given) as hub:
        query = {"version_code": 1, "version_name": "1", "build_type": "debug"}
        await hub.client.post("/admin/apk-builds", params=query, content=b"PK\x03\x04", headers=ADMIN)
        token = await hub.new_token()
        await hub.client.get("/v1/apk/download-latest", headers=bearer(token))
        body = {"device_id": "tablet-1", "token": token, "alias": "Anna", "fcm_token": "f"}
        device = bearer((await hub.client.post("/v1/register", json=body)).json()["device_token"])
        beat = {"status": "ok", "battery_pct": 50, "network_type": "wifi", "uptime_s": 9}
        await hub.client.post("/v1/heartbeat", json=beat, headers=device)
        sent = await hub.client.post("/admin/command", json={"device_id": "tablet-1", "action": "ping"}, headers=ADMIN)
        result = {"request_id": sent.json()["request_id"], "outcome": "ok"}
        await hub.client.post("/v1/action-result", json=result, headers=device)
        for event, keys in DOMAIN.items():
            (line,) = hub.lines(event)
            assert set(line) >= COMMON | keys, event
            assert line["level"] == "info"
        for event, route in ROUTES.items():
            (line,) = hub.lines(event)
            assert (line["route"], line["status_code"]) == (route, 200)
            assert line["latency_ms"] > 0
        assert beat.items() <= hub.lines("heartbeat.ingest")[0].items()
        assert all(len(line["token_id"]) == 4 for line in hub.lines("sec.token.consume"))
    fcm.close()


async def test_ten_heartbeats_count_ten(hub: RunningHub) -> None:
    device = await hub.enrol()
    for n in range(10):
        await hub.client.post("/v1/heartbeat", json={"status": "ok", "uptime_s": n // 2}, headers=device)
    text = (await hub.client.get("/metrics", headers=ADMIN)).text
    samples = {
        (s.name, *sorted(s.labels.items())): s.value for f in text_string_to_metric_families(text) for s in f.samples
    }
    labels = (("method", "POST"), ("route", "/v1/heartbeat"), ("status_code", "200"))
    assert samples["http_requests_total", *labels] == 10
    assert samples["heartbeats_ingested_total",] + samples["heartbeats_dedup_hits_total",] == 10
    assert samples["http_request_latency_ms_bucket", ("le", "+Inf"), ("route", "/v1/heartbeat")] == 10


async def test_a_request_id_is_taken_over_when_it_is_clean_and_else_made(lite: RunningHub) -> None:
    good = await lite.client.get("/healthz", headers={"X-Request-ID": "abc-1.2_3"})
    assert good.headers["x-request-id"] == "abc-1.2_3"
    bad: list[Any] = [
        [(b"x-request-id", b"a"), (b"x-request-id", b"b")],
        [(b"x-request-id", b"a\r\nevil: 1")],
        [(b"x-request-id", b"x" * 10_240)],
        [(b"x-request-id", b"")],
        [(b"x-request-id", "é".encode())],
    ]
    for headers in bad:
        answer = await lite.client.get("/healthz", headers=headers)
        assert len(answer.headers["x-request-id"]) == 32
        assert answer.headers["x-request-id"].isalnum()
        assert "evil" not in answer.headers


async def test_the_request_id_reaches_the_database_row(hub: RunningHub) -> None:
    device = await hub.enrol()
    await hub.client.post("/v1/heartbeat", json={"status": "ok"}, headers={**device, "X-Request-ID": "mine"})
    assert [row["request_id"] for row in await hub.rows(select(heartbeats))] == ["mine"]
    assert hub.lines("heartbeat.ingest")[0]["request_id"] == "mine"


async def test_the_level_changes_at_run_time(tmp_path: Path) -> None:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", log_level="INFO") as hub:
        device = await hub.enrol()
        for level, expected in (("WARNING", 0), ("INFO", 1)):
            answer = await hub.client.put("/admin/log-level", json={"level": level}, headers=ADMIN)
            assert answer.status_code == 200
            await hub.client.post("/v1/heartbeat", json={"status": "ok", "heartbeat_id": level}, headers=device)
            assert len(hub.lines("heartbeat.ingest")) == expected


async def test_the_level_is_that_of_libraries_too(lite: RunningHub) -> None:
    library = logging.getLogger("a.library")
    for level, expected in (("ERROR", ["ERROR"]), ("WARNING", ["WARNING", "ERROR"]), ("DEBUG", ["WARNING", "ERROR"])):
        await lite.client.put("/admin/log-level", json={"level": level}, headers=ADMIN)
        for number in (logging.INFO, logging.WARNING, logging.ERROR):
            library.log(number, "at %s", level)
        told = [line for line in lite.lines("log") if line["message"] == f"at {level}"]
        assert [line["level"].upper() for line in told] == expected


async def test_every_refusal_of_an_enrolment_token_is_a_warning_with_the_tokens_end(hub: RunningHub) -> None:
    """At /provision/wait as at /v1/register."""
    token, unknown = await hub.new_token(), new_token()
    await hub.client.delete(f"/admin/tokens/{token.partition('.')[0]}", headers=ADMIN)
    wait = {"method": "ble", "timeout": 0.1}
    for given, reason in ((token, "revoked"), (unknown.text, "unknown")):
        for path, body in (("/provision/wait", wait), ("/v1/register", {"device_id": "a"})):
            answer = await hub.client.post(path, json=body, headers=bearer(given))
            assert (answer.status_code, answer.json()["code"]) == (401, f"token_{reason}")
            line = hub.lines("sec.token.denied")[-1]
            assert (line["level"], line["route"], line["reason"]) == ("warning", path, reason)
            assert line["token_id"] == given.partition(".")[0][-4:]
            assert set(line) >= COMMON
    assert len(hub.lines("sec.token.denied")) == 4


async def test_lines_of_a_registration_have_every_key_and_the_alias_that_is_known(hub: RunningHub) -> None:
    keys = COMMON | {"token_id", "result"}
    await hub.enrol("tablet-1", alias="Anna")
    again = await hub.client.post("/v1/register", json={"device_id": "tablet-1", "token": await hub.new_token()})
    assert again.status_code == 409
    own = await hub.new_token(device_id="tablet-1")
    assert (await hub.client.post("/v1/register", json={"device_id": "tablet-1", "token": own})).status_code == 200
    renamed = {"device_id": "tablet-1", "token": await hub.new_token(device_id="tablet-1"), "alias": "Berta"}
    assert (await hub.client.post("/v1/register", json=renamed)).status_code == 200
    assert (await hub.client.post("/v1/register", json={"device_id": "new", "token": "x"})).status_code == 401
    assert (await hub.client.post("/v1/register", json={"device_id": "?"})).status_code == 422
    assert [line["alias"] for line in hub.lines("register.success")] == ["Anna", "Anna", "Berta"]
    assert [line["alias"] for line in hub.lines("register.fail")] == ["Anna", None, None]
    assert [line["device_id"] for line in hub.lines("register.fail")] == ["tablet-1", "new", None]
    assert [line["alias"] for line in hub.lines("register.request")] == ["Anna", "Anna", "Anna", "Berta", None]
    for event in ("register.request", "register.success", "register.fail"):
        assert all(set(line) >= keys for line in hub.lines(event)), event


async def test_what_fails_for_the_hubs_own_sake_leaves_its_line_as_an_error(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, database_url, apk_dir=tmp_path / "apk") as hub:
        build = {"version_code": 7, "version_name": "1.7", "build_type": "debug"}
        assert (await hub.client.post("/admin/apk-builds", params=build, content=APK, headers=ADMIN)).status_code == 200
        token = await hub.new_token()
        async with away(hub, database_url):
            refused = await hub.client.post("/v1/register", json={"device_id": "new", "token": token, "alias": "Anna"})
            again = await hub.client.get("/v1/apk/download-latest", headers=bearer(token))
            upload = {**build, "version_code": 8}
            kept = await hub.client.post("/admin/apk-builds", params=upload, content=APK + b"8", headers=ADMIN)
        assert [answer.status_code for answer in (refused, again, kept)] == [503, 503, 503]
        about = {"level": "error", "status_code": 503, "token_id": token.partition(".")[0][-4:]}
        (line,) = hub.lines("register.fail")
        assert {**about, "device_id": "new", "alias": "Anna", "result": "unavailable"}.items() <= line.items()
        (line,) = hub.lines("apk.download.fail")
        assert {**about, **build, "source": "enrollment", "reason": "unavailable"}.items() <= line.items()
        (line,) = hub.lines("admin.apk.upload.fail")
        assert {**upload, "level": "error", "status_code": 503, "reason": "unavailable"}.items() <= line.items()
        assert hub.lines("register.success") == hub.lines("apk.download") == []


async def test_an_upload_that_finds_no_room_leaves_a_line(tmp_path: Path) -> None:
    (tmp_path / "no folder").touch()
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", apk_dir=tmp_path / "no folder") as hub:
        build = {"version_code": 7, "version_name": "1.7", "build_type": "debug"}
        answer = await hub.client.post("/admin/apk-builds", params=build, content=APK, headers=ADMIN)
        assert (answer.status_code, answer.json()["code"]) == (507, "not_stored")
        (line,) = hub.lines("admin.apk.upload.fail")
        assert {**build, "level": "error", "status_code": 507, "reason": "not_stored"}.items() <= line.items()
