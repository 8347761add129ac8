"""The simulated tablet at a real hub: registered once, the same after a restart, back when it was forgotten."""

from pathlib import Path

import httpx
import pytest
import requests
from hub_servers import real_hub

from lab.simulator import tablet

pytestmark = pytest.mark.services


def enrolment(admin: httpx.Client) -> str:
    made: dict[str, str] = admin.post("/admin/tokens", json={"device_id": "tablet-1"}).json()
    return made["token"]


def seen(admin: httpx.Client) -> list[tuple[str, str]]:
    return [(d["device_id"], d["status"]) for d in admin.get("/admin/devices").json()]


def test_a_tablet_that_is_started_anew_is_the_same_one(tmp_path: Path) -> None:
    kept = tmp_path / "tablet"
    with real_hub(tmp_path) as admin:
        url, token = str(admin.base_url), enrolment(admin)
        for _ in range(3):
            tablet.beat(url, token, tablet.own_token(kept))
        assert seen(admin) == [("tablet-1", "ok")]
        consumed = [t["consumed_by"] for t in admin.get("/admin/tokens").json()]
        assert consumed == ["tablet-1"]
    assert kept.stat().st_mode & 0o077 == 0


def test_a_tablet_whose_own_token_is_lost_needs_a_new_enrolment(tmp_path: Path) -> None:
    with real_hub(tmp_path) as admin:
        url, token = str(admin.base_url), enrolment(admin)
        tablet.beat(url, token, tablet.own_token(tmp_path / "one"))
        with pytest.raises(requests.HTTPError, match="401"):
            tablet.beat(url, token, tablet.own_token(tmp_path / "another"))
        tablet.beat(url, enrolment(admin), tablet.own_token(tmp_path / "another"))
