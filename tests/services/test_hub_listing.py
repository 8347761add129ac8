"""The admin's list of devices: a thousand at a time, all of them by going on after the last."""

import pytest
from hub_support import ADMIN, RunningHub
from sqlalchemy import insert

from hub.ids import now_ms
from hub.store.tables import devices

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]
COUNT = 2345


async def test_all_of_a_fleet_are_listed_page_by_page_and_each_once(hub: RunningHub) -> None:
    """Ids that differ by case, digits and signs alone are in one order, which every page goes on with."""
    signs = ".-_:aZ9"
    fleet = {f"eye{signs[n % len(signs)]}{n:04}" for n in range(COUNT)}
    rows = [{"device_id": name, "kind": "camera", "created_at": now_ms()} for name in fleet]
    await hub.hub.db.write(lambda conn: conn.execute(insert(devices), rows) and None)
    found: list[str] = []
    sizes: list[int] = []
    while not sizes or sizes[-1]:
        after = {"after": found[-1]} if found else {}
        answer = await hub.client.get("/admin/devices", params=after, headers=ADMIN)
        assert answer.status_code == 200
        sizes.append(len(answer.json()))
        found += [device["device_id"] for device in answer.json()]
    assert sizes == [1000, 1000, 345, 0]
    assert len(found) == COUNT
    assert set(found) == fleet
