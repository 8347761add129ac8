"""Logs, counters and correlation: the acceptance tests of the observability milestone, and what may not break them."""

import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub_fcm_standin import FcmStandin
from hub_servers import hub_env, wait_until
from hub_support import ADMIN, RunningHub, bearer, free_port, running
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from hub.logs import LogWriter
from hub.store.tables import heartbeats

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]
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


async def test_metrics_are_for_the_admin_and_can_be_switched_off(lite: RunningHub, tmp_path: Path) -> None:
    assert (await lite.client.get("/metrics")).status_code == 401
    assert (await lite.client.get("/metrics", headers=bearer("wrong"))).status_code == 401
    scraped = await lite.client.get("/metrics", headers=ADMIN)
    assert scraped.status_code == 200
    assert "\nprocess_start_time_seconds " in scraped.text
    assert lite.lines("metrics.scrape")
    assert lite.lines("sec.admin.denied")[0]["level"] == "warning"
    async with running(tmp_path, f"sqlite:///{tmp_path}/other.db", metrics=False) as hub:
        assert (await hub.client.get("/metrics", headers=ADMIN)).status_code == 404


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


async def _call(hub: RunningHub, method: str, path: str, query: str, headers: list[tuple[bytes, bytes]]) -> int:
    """A request without a server and without a client: the status of its answer."""
    codes: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            codes.append(message["status"])

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("hub", 80),
        "root_path": "",
        "http_version": "1.1",
    }
    await hub.app(scope, receive, send)
    return codes[0]


async def test_a_hundred_thousand_random_requests_make_no_new_series_and_metrics_stay_quick(tmp_path: Path) -> None:
    dice = random.Random(3)
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", log_level="ERROR") as hub:
        own = (await hub.enrol(fcm_token="f"))["Authorization"].encode()
        given = [(b"authorization", own), (b"content-type", b"application/json")]
        paths = ["/%d", "/%d/%d", "/admin/devices/%d", "/v1/runs/%d/chunks", "/v1/%d", "/static/%d", "/admin/%d"]
        for n in range(100_000):
            method = dice.choice(["GET", "POST", "DELETE", "BREW", "X" * 30, f"M{n}"])
            path = dice.choice(paths)
            status = await _call(hub, method, path.replace("%d", str(n)), f"build_type={n}", given)
            assert status < 500
        for n in range(1000):
            assert await _call(hub, "GET", "/v1/apk/download-latest", f"build_type={n}", given) == 422
        metrics = hub.hub.metrics
        for n in range(100_000):
            # What a command's action, a build's type, a device and a site become on their way to a label.
            metrics.fcm_latency.labels(metrics.action(f"action-{n}")).observe(1)
            metrics.apk_downloads.labels(metrics.build_type(f"type-{n}"), "manual").inc()
            metrics.runs.labels(metrics.site(f"site-{n}"), "mqtt").inc()
            metrics.runs_by_device.labels(metrics.device(f"device-{n}")).inc()
        times = []
        for _ in range(10):
            began = time.perf_counter()
            text = (await hub.client.get("/metrics", headers=ADMIN)).text
            times.append(time.perf_counter() - began)
        routes = {
            s.labels["route"] for f in text_string_to_metric_families(text) for s in f.samples if "route" in s.labels
        }
        assert "unmatched" in routes
        assert all(not any(c.isdigit() for c in route.replace("/v1", "")) for route in routes), routes
        assert metrics.action("one more") == metrics.site("one more") == metrics.device("one more") == "other"
        assert text.count("\n") < 2500
        assert min(times) < 0.05
        assert hub.metric("http_requests_total", route="unmatched", method="OTHER", status_code="4xx") > 10_000


async def test_the_level_changes_at_run_time(tmp_path: Path) -> None:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", log_level="INFO") as hub:
        device = await hub.enrol()
        for level, expected in (("WARNING", 0), ("INFO", 1)):
            answer = await hub.client.put("/admin/log-level", json={"level": level}, headers=ADMIN)
            assert answer.status_code == 200
            await hub.client.post("/v1/heartbeat", json={"status": "ok", "heartbeat_id": level}, headers=device)
            assert len(hub.lines("heartbeat.ingest")) == expected


def test_a_stalled_stdout_drops_lines_keeps_errors_and_never_blocks() -> None:
    reader, writer = os.pipe()
    log = LogWriter(writer, size=500)
    slowest = 0.0
    for n in range(5000):
        began = time.perf_counter()
        log.put(20, {"n": n, "text": "x" * 1000})
        slowest = max(slowest, time.perf_counter() - began)
    for n in range(100):
        log.put(40, {"error": n})
    assert slowest < 0.5
    assert log.depth <= 1000
    assert log.dropped >= 4000
    got = bytearray()

    def drain() -> None:
        while part := os.read(reader, 65536):
            got.extend(part)

    thread = threading.Thread(target=drain)
    thread.start()
    log.close()
    os.close(writer)
    thread.join(10)
    os.close(reader)
    lines = [json.loads(line) for line in bytes(got).splitlines()]
    assert [line["error"] for line in lines if "error" in line] == list(range(100))
    assert sum("n" in line for line in lines) == 5000 - log.dropped


@pytest.mark.parametrize("value", [b"\xff", "\ud800", float("nan"), {1: object()}, 2**70])
def test_no_value_breaks_a_log_line(value: Any, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        log = LogWriter(file.fileno())
        log.put(20, {"event": "odd", "value": value})
        log.put(20, {"event": "after"})
        log.close()
    assert [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()][-1] == "after"


def _start(folder: Path, **given: str) -> tuple["subprocess.Popen[str]", dict[str, Any]]:
    """A hub whose stdout nobody reads but for its first line."""
    env = {**os.environ, **hub_env(folder, f"sqlite:///{folder}/hub.db"), **given}
    process = subprocess.Popen([sys.executable, "-m", "hub"], env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def test_a_signal_at_the_first_moment_also_ends_it_in_order(tmp_path: Path) -> None:
    process, first = _start(tmp_path, HUB_PORT="0")
    process.terminate()
    rest, _ = process.communicate(timeout=30)
    assert first["event"] == "hub.started"
    assert [json.loads(line)["event"] for line in rest.splitlines()][-1] == "hub.stopped"
    assert process.returncode == 0


def test_sigterm_writes_out_what_stdout_did_not_take_yet(tmp_path: Path) -> None:
    port = free_port()
    process, _ = _start(tmp_path, HUB_PORT=str(port), HUB_LOG_LEVEL="DEBUG")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        wait_until("it serves", lambda: client.get("/healthz").status_code == 200)
        for _ in range(600):
            client.get("/healthz").raise_for_status()
    process.terminate()
    rest, _ = process.communicate(timeout=30)
    assert len(rest) > 100_000, "more than a pipe holds"
    events = [json.loads(line)["event"] for line in rest.splitlines()]
    assert events.count("http.request") >= 600
    assert events[-1] == "hub.stopped"
    assert process.returncode == 0


OPEN = {"/healthz", "/readyz", "/login", "/static/{name}", "/docs", "/openapi.json"}
OWN_SECRET = {"/v1/register", "/api/v1/provision"}
"""What they bring in the body is what proves them: an enrolment token, a provision key."""
DEVICES_ONLY = {"/v1/heartbeat", "/v1/action-result", "/v1/runs/{run_id}/chunks"}
EITHER = {"/v1/apk/download-latest"}


def _routes(routes: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Every path and method, those that the OpenAPI does not show too."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _routes(inner.routes)
        else:
            yield from ((route.path, method) for method in route.methods if method != "HEAD")


async def _status(hub: RunningHub, method: str, path: str, headers: dict[str, str]) -> int:
    url = re.sub(r"\{(\w+)\}", lambda found: "A" * 12, path)
    query = {"version_code": 1, "version_name": "1", "build_type": "debug", "method": "ble", "timeout": "0.1"}
    return (await hub.client.request(method, url, headers=headers, json={}, params=query)).status_code


async def test_every_route_wants_to_know_who_asks(lite: RunningHub) -> None:
    """A route that is new is here at once: it must refuse strangers, or be named above as open."""
    device = await lite.enrol()
    routes = sorted(set(_routes(lite.app.routes)))
    shown = (await lite.client.get("/openapi.json")).json()["paths"]
    assert {(path, method.upper()) for path, methods in shown.items() for method in methods} <= set(routes)
    assert {path for path, _ in routes} >= OPEN | OWN_SECRET | DEVICES_ONLY | EITHER | {"/"}
    strangers = [{}, bearer("x" * 40), bearer("A" * 12 + "." + "b" * 43), {"Cookie": "hub_session=9.9"}]
    for path, method in routes:
        if path in OPEN | OWN_SECRET:
            continue
        refused = 303 if path == "/" else 401
        for headers in strangers:
            assert await _status(lite, method, path, headers) == refused, (method, path, headers)
        if path in DEVICES_ONLY:
            assert await _status(lite, method, path, ADMIN) == 401, (method, path)
        elif path not in EITHER:
            assert await _status(lite, method, path, device) == refused, (method, path)
    for path in OWN_SECRET:
        answer = await lite.client.post(path, json={"device_id": "a", "token": "x"})
        assert answer.status_code == 401 or answer.json()["status"] == "FAILURE"
