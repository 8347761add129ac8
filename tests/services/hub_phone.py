"""A hub that has FCM, and what its tests ask of it."""

from pathlib import Path
from typing import Any

import httpx
from hub_fcm_standin import FcmStandin
from hub_support import ADMIN, RunningHub, running


def with_fcm(folder: Path, database_url: str, fcm: FcmStandin, **given: Any) -> Any:
    defaults = {
        "fcm_credentials_file": fcm.credentials,
        "fcm_url": fcm.url,
        "fcm_backoff": 0.01,
        "fcm_timeout": 1.0,
        "dispatch_wait": 30,
    }
    return running(folder, database_url, **(defaults | given))


async def command(hub: RunningHub, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    body = {"device_id": "tablet-1", "action": "restart", **body}
    return await hub.client.post("/admin/command", json=body, headers={**ADMIN, **(headers or {})})


async def run_of(hub: RunningHub, request_id: str) -> dict[str, Any]:
    answer = await hub.client.get(f"/admin/runs/{request_id}", headers=ADMIN)
    found: dict[str, Any] = answer.json()
    return found
