"""State messages: those of revoked devices, of too many devices, a broker that goes away and comes back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hub_broker import Mosquitto
from hub_support import ADMIN, RunningHub, running
from hub_waits import STATE, begun, events, state, wait

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]


async def test_a_revoked_device_is_heard_but_counts_as_provisioned_for_nobody(
    tmp_path: Path, database_url: str
) -> None:
    async with running(tmp_path, database_url) as hub:
        await hub.enrol("gone", kind="plant")
        await state(hub, "gone")
        assert (await wait(hub, device_id="gone", require_fresh=False))["status"] == "cached"
        assert (await hub.client.delete("/admin/devices/gone", headers=ADMIN)).status_code == 200
        for fresh in (True, False):
            asked = [wait(hub, timeout=2, require_fresh=fresh, **who) for who in ({"device_id": "gone"}, {})]
            await begun(hub, 2)
            await state(hub, "gone")
            assert [(await one)["status"] for one in asked] == ["timeout", "timeout"]
        told = [e for e in await events(tmp_path, hub, 13) if e["event"] == "state_message"]
        assert [(e["created"], e["waiters_notified"]) for e in told] == [(False, 0)] * 3
    async with running(tmp_path, database_url) as hub:
        asked = wait(hub, device_id="gone", timeout=2, require_fresh=False)
        await begun(hub)
        await state(hub, "gone")
        assert (await asked)["status"] == "timeout", "a restart does not forget that it was revoked"
        anew = {"device_id": "gone", "token": await hub.new_token(device_id="gone")}
        assert (await hub.client.post("/v1/register", json=anew)).status_code == 200
        asked = wait(hub, device_id="gone")
        await begun(hub)
        await state(hub, "gone")
        assert (await asked)["status"] == "success", "it came back"


async def test_only_so_many_devices_become_known(tmp_path: Path) -> None:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", max_devices=3) as hub:
        for n in range(10):
            await state(hub, f"d{n}")
        assert hub.metric("hub_mqtt_refused_total", reason="too many devices") == 7


@pytest.fixture
async def with_broker(tmp_path: Path) -> AsyncIterator[tuple[RunningHub, Mosquitto]]:
    broker = Mosquitto(tmp_path)
    broker.start()
    try:
        async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", mqtt_url=broker.url) as hub:
            await hub.until(lambda: hub.metric("hub_mqtt_connected") == 1, 30)
            yield hub, broker
    finally:
        broker.stop()


async def test_a_real_broker_brings_states_and_says_what_was_retained(
    with_broker: tuple[RunningHub, Mosquitto], tmp_path: Path
) -> None:
    hub, broker = with_broker
    asked = wait(hub, device_id="fern")
    await begun(hub)
    await asyncio.to_thread(broker.publish, "plant/fern/state", STATE)
    assert (await asked)["status"] == "success"
    assert hub.metric("hub_mqtt_connected") == 1


async def test_subscriptions_are_kept_when_the_broker_comes_back(with_broker: tuple[RunningHub, Mosquitto]) -> None:
    hub, broker = with_broker
    await asyncio.to_thread(broker.stop)
    await hub.until(lambda: "mqtt" in hub.hub.problems)
    assert hub.metric("hub_mqtt_connected") == 0
    ready = await hub.client.get("/readyz")
    assert (ready.status_code, "mqtt" in ready.json()["problems"]) == (200, True)
    assert (await wait(hub, timeout=0.1))["status"] == "timeout", "waits go on without the broker"
    await asyncio.to_thread(broker.start)
    await hub.until(lambda: hub.metric("hub_mqtt_connected") == 1, 30)
    asked = wait(hub, device_id="fern", timeout=30)
    await begun(hub)
    await asyncio.to_thread(broker.publish, "plant/fern/state", STATE)
    assert (await asked)["status"] == "success"
