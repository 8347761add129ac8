"""What the tests of provisioning share: waits, state messages, the lines of the event log."""

import asyncio
import json
from pathlib import Path
from typing import Any

from hub_support import ADMIN, RunningHub

STATE = b'{"moisture": 41}'


def wait(hub: RunningHub, **body: Any) -> "asyncio.Task[dict[str, Any]]":
    async def ask() -> dict[str, Any]:
        answer = await hub.client.post("/provision/wait", json={"method": "ble", "timeout": 30, **body}, headers=ADMIN)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    return asyncio.create_task(ask())


async def begun(hub: RunningHub, count: int = 1) -> None:
    await hub.until(lambda: hub.metric("provision_waits_in_progress") == count)


async def state(hub: RunningHub, device_id: str = "AABBCC112233", *, retained: bool = False) -> None:
    await hub.hub.mqtt.dispatch(f"plant/{device_id}/state", STATE, retained)


async def events(folder: Path, hub: RunningHub, count: int) -> list[dict[str, Any]]:
    """The lines of the event log, once there are `count`."""
    file = folder / "events.jsonl"
    await hub.until(lambda: file.exists() and file.read_bytes().count(b"\n") >= count)
    return [json.loads(line) for line in file.read_text().splitlines()]
