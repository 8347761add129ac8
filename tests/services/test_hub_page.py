"""The live page in a real browser, against real servers."""

import contextlib
import http.client
import itertools
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub_browser import DESK, PHONE, logged_in, screenshot
from hub_servers import enrol, real_hub, wait_until
from hub_stack import alertmanager, fire_alert, furnace_day, furnace_now, victoriametrics, write_page_config
from hub_support import ADMIN
from playwright.sync_api import Browser, Page, Route, expect

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.services]
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A hub with a real VictoriaMetrics and a real Alertmanager beside it."""
    folder = tmp_path_factory.mktemp("studio")
    with victoriametrics(folder) as tsdb, alertmanager(folder) as alerts:
        furnace_day(tsdb, "main", 1090)
        furnace_now(tsdb, "main", 950)
        furnace_day(tsdb, "hole", 1200, silent=3600)
        fire_alert(alerts, "FurnaceTooCold", "The main furnace is at 900 degrees", severity="warning")
        for furnace in ("main", "hole"):
            fire_alert(alerts, "FlameOut", "The flame is out", furnace=furnace, label=HOSTILE)
        fire_alert(alerts, "Watchdog", "All is well with the alerting itself")
        given = {
            "HUB_TSDB_URL": tsdb,
            "HUB_ALERTMANAGER_URL": alerts,
            "HUB_PAGE_CONFIG": str(write_page_config(folder)),
        }
        with real_hub(folder, **given) as client:
            yield client


def test_the_page_shows_what_happens_as_it_happens(browser: Browser, studio: httpx.Client) -> None:
    page = logged_in(browser, studio, DESK)
    problems: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))
    expect(page).to_have_title("Rosewood Glass")
    expect(page.locator("#alerts")).to_contain_text("The main furnace is at 900 degrees")
    expect(page.locator("#alerts article")).to_have_count(3)
    expect(page.locator("#alerts h3 .warn")).to_have_text("warning")
    expect(page.locator("#alerts h3 .bad")).to_have_text(["critical", "critical"])
    flames = page.locator("#alerts article").filter(has_text="FlameOut")
    for furnace in ("main", "hole"):
        expect(flames.filter(has_text=f"furnace {furnace}, label <img src=x")).to_have_count(1)
    expect(page.locator("#alerts")).not_to_contain_text("studio rosewood")
    expect(page.locator("#furnaces article")).to_have_count(2)
    hole = page.locator("#furnaces article").filter(has_text="Glory hole")
    expect(hole.locator("h3 .bad")).to_have_text(re.compile(r"silent, was 12\d\d"))
    main = page.locator("#furnaces article").filter(has_text="Main furnace")
    expect(main).to_contain_text("limits 1050 to 1180 °C")
    expect(main).to_contain_text(re.compile(r"last sample \d\d? s ago"))
    expect(main.locator("h3 .bad")).to_have_text("950 °C")
    expect(main.locator("svg line.limit")).to_have_count(2)
    expect(main.locator("svg text.limit")).to_have_text(["1050 °C", "1180 °C"])
    expect(main.locator("svg .end")).to_have_count(1)
    assert (main.locator("svg .line").get_attribute("d") or "").count("L") > 200
    for part in ("VictoriaMetrics", "Alertmanager"):
        expect(page.locator("#health article").filter(has_text=part)).to_contain_text("fine")

    device = enrol(studio, "tablet-1", alias=HOSTILE)
    studio.post("/v1/heartbeat", json={"status": "charging", "battery_pct": 80}, headers=device).raise_for_status()
    expect(page.locator("#devices")).to_contain_text("battery 80 %")
    expect(page.locator("#devices h3").first).to_contain_text("<img src=x")

    body = {"device_id": "tablet-1", "action": "diagnose", "protocol": "mqtt", "request_id": "run-1"}
    studio.post("/admin/command", json=body).raise_for_status()
    run = page.locator("[data-run='run-1']")
    expect(run).to_contain_text("queued")
    for seq, text in [(0, "step one\n"), (2, "step three\n"), (1, "step two\n"), (1, "step two\n"), (3, HOSTILE)]:
        studio.post("/v1/runs/run-1/chunks", json={"seq": seq, "data": text}, headers=device).raise_for_status()
    expect(run.locator("pre")).to_have_text("step one\nstep two\nstep three\n" + HOSTILE)
    studio.post("/v1/action-result", json={"request_id": "run-1", "outcome": "ok"}, headers=device).raise_for_status()
    expect(run.locator("h3")).to_contain_text("ok")

    with waiting(studio):
        expect(page.locator("#waits")).to_contain_text("fern")
    screenshot(page, "desk")
    assert page.title() == "Rosewood Glass", "what devices send is never markup"
    assert problems == []
    assert {httpx.URL(url).host for url in asked} <= {"127.0.0.1"}, "the page needs no internet"


@contextlib.contextmanager
def waiting(client: httpx.Client) -> Iterator[None]:
    """A wait in progress while the block runs; it ends because its asker goes away."""
    body = json.dumps({"method": "ble", "timeout": 60, "device_id": "fern"})
    asker = http.client.HTTPConnection(client.base_url.host, client.base_url.port)
    with contextlib.closing(asker):
        asker.request("POST", "/provision/wait", body, {**ADMIN, "Content-Type": "application/json"})
        yield


def test_the_http_interface_explains_itself_without_internet(browser: Browser, studio: httpx.Client) -> None:
    page = browser.new_context(viewport=DESK).new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(str(studio.base_url.join("/docs")))
    command = page.locator("article").filter(has_text="POST /admin/command")
    expect(command).to_contain_text("It is on disk before this answers")
    expect(command.locator("li").filter(has_text="timeout_s")).to_have_count(1)
    expect(command).to_contain_text("Needs a login.")
    paths = studio.get("/openapi.json").json()["paths"].values()
    expect(page.locator("article")).to_have_count(sum(len(methods) for methods in paths))
    screenshot(page, "docs")
    assert {httpx.URL(url).host for url in asked} <= {"127.0.0.1"}


def numbers(page: Page, selector: str) -> list[dict[str, Any]]:
    """The texts of charts: what each says, where it is, and its size, in pixels."""
    found: list[dict[str, Any]] = page.locator(selector).evaluate_all(
        "all => all.map(e => { const { left, right, top, bottom } = e.getBoundingClientRect();"
        " return { text: e.textContent, left, right, top, bottom, size: parseFloat(getComputedStyle(e).fontSize) } })"
    )
    return found


@pytest.mark.parametrize("viewport", [PHONE, DESK])
def test_a_chart_has_numbers_that_can_be_read(browser: Browser, studio: httpx.Client, viewport: dict[str, int]) -> None:
    page = logged_in(browser, studio, viewport)
    for furnace in ("Main furnace", "Glory hole"):
        chart = f"#furnaces article:has-text('{furnace}') figure"
        expect(page.locator(chart)).to_be_visible()
        scale, below = numbers(page, f"{chart} .scale text"), numbers(page, f"{chart} .plot text")
        limits = ["1050 °C", "1180 °C"] if furnace == "Main furnace" else []
        values = {float(found["text"].removesuffix(" °C")) for found in scale if found["text"] not in limits}
        assert len(values) >= 2, "also a furnace without limits has a scale"
        lowest, highest = (900, 1300) if limits else (1150, 1300)
        assert all(lowest <= value <= highest for value in values)
        assert [found["text"] for found in scale if found["text"] in limits] == limits
        hours = [found for found in below if found["text"] != "now"]
        assert len(hours) >= 2
        assert {found["text"] for found in hours} <= {"00:00", "06:00", "12:00", "18:00"}
        middles = [(found["left"] + found["right"]) / 2 for found in hours]
        wide = page.locator(f"{chart} > .plot").evaluate("e => e.getBoundingClientRect().width")
        for later, earlier in itertools.pairwise(middles):
            assert later - earlier == pytest.approx(wide / 4, abs=1), "six hours of 24"
        for row in (scale, below):
            for one, other in itertools.combinations(row, 2):
                apart = one["right"] <= other["left"] or other["right"] <= one["left"]
                assert apart or one["bottom"] <= other["top"] + 4 or other["bottom"] <= one["top"] + 4, (one, other)
        for found in (*scale, *below):
            assert found["size"] >= 12
            assert 0 <= found["left"] < found["right"] <= viewport["width"]


def test_a_storage_or_a_hub_that_is_away_leaves_the_last_picture_and_says_that_nothing_is_known(
    browser: Browser, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as hub, contextlib.ExitStack() as storage:
        tsdb = storage.enter_context(victoriametrics(tmp_path))
        furnace_day(tsdb, "main", 1090)
        config = str(write_page_config(tmp_path))
        client = hub.enter_context(real_hub(tmp_path, HUB_TSDB_URL=tsdb, HUB_PAGE_CONFIG=config))
        page = logged_in(browser, client, PHONE)
        page.clock.install()
        page.reload()
        main, hole = (page.locator("#furnaces article").filter(has_text=name) for name in ("Main", "Glory hole"))
        expect(main.locator("h3 .good")).to_have_text(re.compile(r"^1\d+(\.\d)? °C$"))
        expect(hole.locator("h3 .bad")).to_have_text("no data")
        expect(page.locator(".old")).to_have_count(0)
        picture = len((main.locator("svg .line").get_attribute("d") or "").split("L"))

        storage.close()
        wait_until("the hub knows", lambda: client.get("/live/furnaces").json()["problem"])
        page.clock.fast_forward(20_000)
        for _ in range(2):
            expect(main.locator("h3 .warn")).to_have_text(
                re.compile(r"^unknown: VictoriaMetrics is away"), timeout=30_000
            )
            expect(hole.locator("h3 .warn")).to_have_text(re.compile(r"^unknown: VictoriaMetrics is away"))
            expect(main).to_contain_text(re.compile(r"it was 1\d+(\.\d)? °C \d+ \w+ ago"))
            expect(hole).to_contain_text("nothing is known of it yet")
            expect(page.locator("#furnaces .bad")).to_have_count(0)
            expect(main.locator("figure.old")).to_have_count(1)
            expect(main).to_contain_text(re.compile(r"The picture is of \d\d:\d\d, \d+ \w+ ago"))
            drawn = len((main.locator("svg .line").get_attribute("d") or "").split("L"))
            assert abs(drawn - picture) <= 1
            health = page.locator("#health article").filter(has_text="VictoriaMetrics")
            expect(health).to_contain_text("it does not answer")
            screenshot(page, "storage-away")
            page.reload()
        hub.close()
        page.clock.fast_forward(20_000)
        expect(main.locator("h3 .warn")).to_have_text("unknown: the hub does not answer", timeout=30_000)
        expect(main.locator("figure.old")).to_have_count(1)


def test_a_furnace_is_silent_when_its_alert_says_so_and_one_that_is_off_is_no_trouble(
    browser: Browser, tmp_path: Path
) -> None:
    limits = {"low": 1050, "high": 1180}
    furnaces = [
        {"id": "patient", **limits, "silent_after": 1800},
        {"id": "hasty", **limits, "silent_after": 60},
        {"id": "cold", **limits, "off": True},
        {"id": "gone", **limits, "off": True},
    ]
    file = tmp_path / "page.json"
    file.write_text(json.dumps({"studio": "rosewood", "furnaces": furnaces}))
    with victoriametrics(tmp_path) as tsdb:
        for name in ("patient", "hasty"):
            furnace_day(tsdb, name, 1090, silent=400)
        furnace_now(tsdb, "cold", 20)
        with real_hub(tmp_path, HUB_TSDB_URL=tsdb, HUB_PAGE_CONFIG=str(file)) as client:
            page = logged_in(browser, client, PHONE)
            cards = page.locator("#furnaces article")
            expect(cards).to_have_count(4)
            expect(cards.nth(0).locator("h3 .good")).to_have_text(re.compile(r"^1\d+(\.\d)? °C$"))
            expect(cards.nth(1).locator("h3 .bad")).to_have_text(re.compile(r"^silent, was 1\d+(\.\d)? °C$"))
            expect(cards.nth(2).locator("h3 .dim")).to_have_text("off, 20 °C")
            expect(cards.nth(3).locator("h3 .dim")).to_have_text("off")
            expect(page.locator("#furnaces h3 .bad")).to_have_count(1)


def test_a_device_that_is_silent_is_not_shown_with_its_last_status(browser: Browser, tmp_path: Path) -> None:
    file = write_page_config(tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text()), "silent_after": {"slow": 30 * 86_400}}))
    with real_hub(tmp_path, HUB_PAGE_CONFIG=str(file)) as client:
        for name in ("quick", "silent", "slow"):
            body = {"status": "ok", "battery_pct": 50}
            client.post("/v1/heartbeat", json=body, headers=enrol(client, name)).raise_for_status()
        with contextlib.closing(sqlite3.connect(tmp_path / "hub.db", timeout=30)) as database, database:
            twelve_days_ago = int((time.time() - 12 * 86_400) * 1000)
            database.execute("UPDATE devices SET last_seen_at = ? WHERE device_id != 'quick'", (twelve_days_ago,))
        page = logged_in(browser, client, PHONE)
        cards = {name: page.locator("#devices article").filter(has_text=name) for name in ("quick", "slow")}
        for found in cards.values():
            expect(found.locator("h3 .good")).to_have_text("ok")
        silent = page.locator("#devices article").filter(has=page.get_by_role("heading", name="silent", exact=False))
        expect(silent).to_have_count(1)
        expect(silent.locator("h3 .dim")).to_have_text("silent for 12 d")
        expect(silent.locator(".good")).to_have_count(0)
        expect(silent).to_contain_text("it was ok, battery 50 %, last seen 12 d ago")
        screenshot(page, "silent")


def test_the_page_fits_a_phone(browser: Browser, studio: httpx.Client) -> None:
    page = logged_in(browser, studio, PHONE)
    expect(page.locator("#furnaces svg").first).to_be_visible()
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= PHONE["width"]
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44, "a thumb needs room"
    screenshot(page, "phone")


def test_the_page_says_that_there_are_more_devices_and_waits_than_it_shows(browser: Browser, tmp_path: Path) -> None:
    with real_hub(tmp_path) as client:
        enrol(client, "tablet-1")
        page = logged_in(browser, client, PHONE)
        expect(page.locator("#devices article")).to_have_count(1)
        expect(page.locator("#devices, #waits").filter(has_text="more")).to_have_count(0)

        def many(route: Route) -> None:
            answer = route.fetch()
            waits = [{"method": "ble", "device_id": None, "elapsed": 1, "timeout": 9, "require_fresh": False}] * 2
            route.fulfill(response=answer, json={**answer.json(), "known": 501, "waits": waits, "waiting": 9})

        page.route("**/live/view", many)
        page.reload()
        expect(page.locator("#devices")).to_contain_text("500 more are not shown here.", timeout=30_000)
        expect(page.locator("#waits")).to_contain_text("7 more are not shown here.")
        page.unroute_all(behavior="wait")  # it asks again and again, and the hub goes
        page.close()


def test_a_wrong_token_is_told_and_the_page_stays_shut(browser: Browser, studio: httpx.Client) -> None:
    page = browser.new_context(viewport=PHONE).new_page()
    page.goto(str(studio.base_url))
    page.get_by_label("Admin token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("This is not the admin token.")
    page.goto(str(studio.base_url))
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_the_page_says_when_the_hub_is_away_and_comes_back(browser: Browser, tmp_path: Path) -> None:
    with real_hub(tmp_path) as first:
        port = first.base_url.port
        page = logged_in(browser, first, DESK)
        expect(page.locator("#furnaces")).to_contain_text("VictoriaMetrics is not set up")
        expect(page.locator("#health")).to_contain_text("Broker not set up")
    expect(page.locator("#link")).to_contain_text("trying again")
    with real_hub(tmp_path, port=port):
        expect(page.locator("#link")).to_have_text("live")
