"""Who may ask what: no route without a login, the scraper's token reads the metrics alone."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_support import ADMIN, ADMIN_TOKEN, RunningHub, bearer, running

from hub.settings import SettingsError, load

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]
METRICS_TOKEN = "a-metrics-token-for-tests"
OPEN = {"/healthz", "/readyz", "/login", "/static/{name}", "/docs", "/openapi.json"}
TO_LOGIN = {"/", "/logout"}
"""People are shown where to log in."""
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
        refused = 303 if path in TO_LOGIN else 401
        for headers in strangers:
            assert await _status(lite, method, path, headers) == refused, (method, path, headers)
        if path in DEVICES_ONLY:
            assert await _status(lite, method, path, ADMIN) == 401, (method, path)
        elif path not in EITHER:
            assert await _status(lite, method, path, device) == refused, (method, path)
    for path in OWN_SECRET:
        answer = await lite.client.post(path, json={"device_id": "a", "token": "x"})
        assert answer.status_code == 401 or answer.json()["status"] == "FAILURE"


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


async def test_the_scrapers_token_reads_the_metrics_and_nothing_else(tmp_path: Path) -> None:
    given = {"metrics_token": METRICS_TOKEN}
    scraper = bearer(METRICS_TOKEN)
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", **given) as hub:
        for headers in (scraper, ADMIN):
            assert (await hub.client.get("/metrics", headers=headers)).status_code == 200
        assert (await hub.client.get("/metrics", headers=bearer(METRICS_TOKEN + "x"))).status_code == 401
        assert (await hub.client.get("/metrics", headers=bearer(""))).status_code == 401
        for path, method in sorted(set(_routes(hub.app.routes))):
            if path not in OPEN | OWN_SECRET | {"/metrics"}:
                refused = 303 if path in TO_LOGIN else 401
                assert await _status(hub, method, path, scraper) == refused, (method, path)
        login = await hub.client.post("/login", data={"token": METRICS_TOKEN})
        assert (login.status_code, "set-cookie" in login.headers) == (401, False)


def test_the_scrapers_token_is_long_its_own_and_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(METRICS_TOKEN + "\n")
    assert load(admin_token=ADMIN_TOKEN, metrics_token_file=file).metrics_token.get_secret_value() == METRICS_TOKEN
    for wrong in ("short", ADMIN_TOKEN):
        with pytest.raises(SettingsError, match="HUB_METRICS_TOKEN must"):
            load(admin_token=ADMIN_TOKEN, metrics_token=wrong)
