"""Series stay bounded and /metrics quick, whatever is asked."""

import random
import time
from pathlib import Path
from typing import Any

import pytest
from hub_support import ADMIN, RunningHub, asgi_scope, running
from prometheus_client.parser import text_string_to_metric_families

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]


async def _call(hub: RunningHub, method: str, path: str, query: str, headers: list[tuple[bytes, bytes]]) -> int:
    """A request without a server and without a client: the status of its answer."""
    codes: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            codes.append(message["status"])

    await hub.app(asgi_scope(method, path, headers, query), receive, send)
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
