"""The hub's page in a real browser."""

from pathlib import Path
from typing import Any

import httpx
from hub_support import ADMIN_TOKEN
from playwright.sync_api import Browser, Page, expect

expect.set_options(timeout=30_000)

ARTIFACTS = Path(__file__).parents[2] / "out" / "hub-page"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


def logged_in(browser: Browser, client: httpx.Client, viewport: Any) -> Page:
    page = browser.new_context(viewport=viewport).new_page()
    page.goto(str(client.base_url))
    page.get_by_label("Admin token").fill(ADMIN_TOKEN)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#link")).to_have_text("live")
    return page


def screenshot(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)
