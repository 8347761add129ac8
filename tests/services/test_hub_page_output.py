"""The output of runs on the page: it stays where its reader is, and what of it is not shown is said."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hub_browser import DESK, PHONE, logged_in, screenshot
from hub_servers import HubProcess, admin_of, enrol, real_hub
from playwright.sync_api import Browser, Locator, Page, expect

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.services]
AT_END = "e => e.scrollHeight - e.scrollTop - e.clientHeight < 2"
TOP = "e => e.scrollTop"
BATTERIES = itertools.count(1)
Device = dict[str, str]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with real_hub(tmp_path_factory.mktemp("hub")) as found:
        yield found


@pytest.fixture(scope="module")
def device(client: httpx.Client) -> Device:
    return enrol(client, "tablet-1")


def command(client: httpx.Client, run: str) -> None:
    body = {"device_id": "tablet-1", "action": "diagnose", "protocol": "mqtt", "request_id": run}
    client.post("/admin/command", json=body).raise_for_status()


def tell(client: httpx.Client, device: Device, run: str, numbers: range, size: int = 0) -> None:
    """A device's output: a piece is a line with its number, of so many characters at least."""
    for seq in numbers:
        body = {"seq": seq, "data": f"piece {seq} ".ljust(size, ".") + "\n"}
        client.post(f"/v1/runs/{run}/chunks", json=body, headers=device).raise_for_status()


def beat(client: httpx.Client, device: Device, page: Page) -> None:
    """A heartbeat, until the page has loaded its view anew and shows it."""
    battery = next(BATTERIES)
    body = {"status": "ok", "battery_pct": battery}
    client.post("/v1/heartbeat", json=body, headers=device).raise_for_status()
    expect(page.locator("#devices")).to_contain_text(f"battery {battery} %")


def shown(output: Locator) -> list[int]:
    numbers: list[int] = output.evaluate("e => [...e.querySelectorAll('[data-seq]')].map(s => Number(s.dataset.seq))")
    return numbers


def test_who_follows_goes_on_following_and_who_scrolled_back_stays_there(
    browser: Browser, client: httpx.Client, device: Device
) -> None:
    page = logged_in(browser, client, DESK)
    command(client, "run-1")
    run = page.locator("[data-run='run-1']")
    output = run.locator("pre")
    expect(run).to_contain_text("queued")
    tell(client, device, "run-1", range(60))
    expect(output).to_contain_text("piece 59")
    assert output.evaluate(TOP) > 500
    assert output.evaluate(AT_END)
    beat(client, device, page)
    assert output.evaluate(AT_END), "a view that is loaded anew moves nothing"
    tell(client, device, "run-1", range(60, 61))
    expect(output).to_contain_text("piece 60")
    assert output.evaluate(AT_END)

    output.evaluate("e => { e.scrollTop = 200 }")
    beat(client, device, page)
    assert output.evaluate(TOP) == 200
    tell(client, device, "run-1", range(61, 70))
    expect(output).to_contain_text("piece 69")
    assert output.evaluate(TOP) == 200
    result = {"request_id": "run-1", "outcome": "ok"}
    client.post("/v1/action-result", json=result, headers=device).raise_for_status()
    expect(run.locator("h3")).to_contain_text("ok")
    beat(client, device, page)
    assert output.evaluate(TOP) == 200
    assert shown(output) == list(range(70))
    expect(output.locator("button")).to_have_count(0)


def test_what_of_a_long_output_is_not_kept_is_said(browser: Browser, client: httpx.Client, device: Device) -> None:
    """Also while it streams in: the page keeps its last 20,000 characters."""
    page = logged_in(browser, client, DESK)
    command(client, "run-2")
    output = page.locator("[data-run='run-2'] pre")
    tell(client, device, "run-2", range(60), 999)
    expect(output).to_contain_text("piece 59")
    for _ in range(2):
        beat(client, device, page)
        assert shown(output) == list(range(40, 60))
        expect(output.locator("button")).to_have_text(["40 earlier pieces: show all"])
    assert output.evaluate(AT_END)
    output.evaluate("e => { e.scrollTop = 1000 }")
    line = "e => [...e.querySelectorAll('[data-seq]')].find(s => s.offsetTop + s.offsetHeight > e.scrollTop)"
    read = output.evaluate(f"e => {{ const s = ({line})(e); return [s.dataset.seq, s.offsetTop - e.scrollTop] }}")
    output.locator("button").dispatch_event("click")
    expect(output.locator("button")).to_have_count(0)
    assert shown(output) == list(range(60))
    now = output.evaluate(f"e => {{ const s = ({line})(e); return [s.dataset.seq, s.offsetTop - e.scrollTop] }}")
    assert now == read, "what comes in above does not move what is read"


def test_after_a_reload_the_beginning_is_said_to_be_missing_and_comes_when_asked(
    browser: Browser, client: httpx.Client, device: Device
) -> None:
    command(client, "run-3")
    tell(client, device, "run-3", range(50))
    page = logged_in(browser, client, PHONE)
    output = page.locator("[data-run='run-3'] pre")
    button = output.get_by_role("button")
    expect(button).to_have_text("30 earlier pieces: show all")
    assert output.evaluate(AT_END)
    box, frame = button.bounding_box(), output.bounding_box()
    assert box is not None
    assert frame is not None
    assert box["height"] >= 44, "a thumb needs room"
    assert frame["y"] - 1 <= box["y"] < frame["y"] + 10, "it is to be seen without scrolling back"
    assert shown(output) == list(range(30, 50))
    screenshot(page, "earlier-pieces")
    page.route("**/admin/runs/*", lambda route: route.abort())
    button.click()
    expect(button).to_have_text("30 pieces could not be loaded: try again")
    page.unroute("**/admin/runs/*")
    button.click()
    expect(button).to_have_count(0)
    assert shown(output) == list(range(50))
    tell(client, device, "run-3", range(50, 52))
    expect(output).to_contain_text("piece 51")
    beat(client, device, page)
    assert shown(output) == list(range(52))
    expect(button).to_have_count(0)


def test_a_gap_in_the_middle_is_never_silent(browser: Browser, tmp_path: Path) -> None:
    """The hub was started anew, and the page came back after more pieces than a view has."""
    hub = HubProcess(tmp_path, f"sqlite:///{tmp_path}/hub.db")
    with hub, admin_of(hub) as client:
        device = enrol(client, "tablet-1")
        command(client, "run-1")
        page = logged_in(browser, client, DESK)
        output = page.locator("[data-run='run-1'] pre")
        tell(client, device, "run-1", range(5))
        expect(output).to_contain_text("piece 4")
        page.route("**/live/*", lambda route: route.abort())
        hub.kill()
        expect(page.locator("#link")).to_contain_text("trying again")
        hub.start()
        tell(client, device, "run-1", range(5, 45))
        page.unroute("**/live/*")
        expect(page.locator("#link")).to_have_text("live", timeout=30_000)
        button = output.get_by_role("button")
        expect(button).to_have_text("20 pieces not shown: show all", timeout=30_000)
        assert shown(output) == [*range(5), *range(25, 45)]
        assert output.evaluate("e => e.querySelector('button').nextSibling.dataset.seq") == "25"
        screenshot(page, "gap")
        result = {"request_id": "run-1", "outcome": "ok"}
        client.post("/v1/action-result", json=result, headers=device).raise_for_status()
        expect(page.locator("[data-run='run-1'] h3")).to_contain_text("ok")
        expect(button).to_have_text("20 pieces not shown: show all")
        button.click()
        expect(button).to_have_count(0)
        assert shown(output) == list(range(45))


def test_pieces_come_in_any_order_and_are_shown_in_theirs(
    browser: Browser, client: httpx.Client, device: Device
) -> None:
    command(client, "run-5")
    tell(client, device, "run-5", range(10, 40))
    page = logged_in(browser, client, DESK)
    output = page.locator("[data-run='run-5'] pre")
    expect(output.get_by_role("button")).to_have_text("10 earlier pieces: show all")
    tell(client, device, "run-5", range(3, 5))
    expect(output).to_contain_text("piece 4")
    beat(client, device, page)
    expect(output.get_by_role("button")).to_have_text(["10 pieces not shown: show all"])
    output.get_by_role("button").click()
    expect(output.get_by_role("button")).to_have_count(0)
    assert shown(output) == [3, 4, *range(10, 40)]
