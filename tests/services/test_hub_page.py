"""The live page in a real browser, against real servers."""

import contextlib
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub_servers import enrol, real_hub
from hub_stack import alertmanager, fire_alert, furnace_day, furnace_now, victoriametrics, write_page_config
from hub_support import ADMIN, ADMIN_TOKEN
from playwright.sync_api import Browser, Page, expect, sync_playwright

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.services]
ARTIFACTS = Path(__file__).parents[2] / "out" / "hub-page"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium")
    assert found, "these tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


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


def logged_in(browser: Browser, client: httpx.Client, viewport: Any) -> Page:
    page = browser.new_context(viewport=viewport).new_page()
    page.goto(str(client.base_url))
    page.get_by_label("Admin token").fill(ADMIN_TOKEN)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#link")).to_have_text("live", timeout=15_000)
    return page


def screenshot(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


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
    expect(main.locator("svg .limit")).to_have_count(2)
    expect(main.locator("svg .end")).to_have_count(1)
    assert (main.locator("svg .line").get_attribute("d") or "").count("L") > 200
    for part in ("VictoriaMetrics", "Alertmanager"):
        expect(page.locator("#health article").filter(has_text=part)).to_contain_text("fine")

    device = enrol(studio, "tablet-1", alias=HOSTILE)
    studio.post("/v1/heartbeat", json={"status": "charging", "battery_pct": 80}, headers=device).raise_for_status()
    expect(page.locator("#devices")).to_contain_text("battery 80 %", timeout=10_000)
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
        expect(page.locator("#waits")).to_contain_text("fern", timeout=10_000)
    screenshot(page, "desk")
    assert page.title() == "Rosewood Glass", "what devices send is never markup"
    assert problems == []
    assert {httpx.URL(url).host for url in asked} <= {"127.0.0.1"}, "the page needs no internet"


@contextlib.contextmanager
def waiting(client: httpx.Client) -> Iterator[None]:
    """A wait in progress while the block runs."""
    body = {"method": "ble", "timeout": 8, "device_id": "fern"}
    url = str(client.base_url.join("/provision/wait"))
    thread = threading.Thread(target=lambda: httpx.post(url, json=body, headers=ADMIN, timeout=20))
    thread.start()
    try:
        yield
    finally:
        thread.join()


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
    expect(page.locator("#link")).to_contain_text("trying again", timeout=15_000)
    with real_hub(tmp_path, port=port):
        expect(page.locator("#link")).to_have_text("live", timeout=20_000)
