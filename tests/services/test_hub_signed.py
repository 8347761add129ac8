"""Signed requests: good once, within five minutes, also for a hub that was killed meanwhile."""

import asyncio
import json
import secrets
import time
from pathlib import Path

import httpx
import pytest
from hub_servers import HubProcess, enrol, stored, wait_until
from hub_support import ADMIN, RunningHub, running
from sqlalchemy import select, update

from hub import retention
from hub.device_auth import signature
from hub.ids import digest, new_token
from hub.store.tables import heartbeats, nonces

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.services]
BODY = b'{"status":"ok"}'


def signed(token: str, body: bytes, **changed: str) -> dict[str, str]:
    token_id, _, secret = token.partition(".")
    part = {"ts": str(int(time.time())), "nonce": secrets.token_hex(8), "line": "POST /v1/heartbeat"} | changed
    made = signature(digest(secret), part["line"], f"{part['ts']} {part['nonce']}", body)
    sig = changed.get("sig", made)
    made_of = f"id={token_id}, ts={part['ts']}, nonce={part['nonce']}, sig={sig}"
    return {"Authorization": f"Hub-HMAC-SHA256 {made_of}", "Content-Type": "application/json"}


@pytest.mark.anyio
async def test_a_signed_request_is_taken_once_and_a_forged_one_never(lite: RunningHub) -> None:
    token = (await lite.enrol())["Authorization"].removeprefix("Bearer ")

    async def send(headers: dict[str, str], content: bytes = BODY) -> httpx.Response:
        return await lite.client.post("/v1/heartbeat", content=content, headers=headers)

    good = signed(token, BODY)
    assert (await send(good)).status_code == 200
    late = "clock is off by more than 5 minutes"
    bad = [
        (good, BODY, "replayed", "used before"),
        (signed(token, BODY), b'{"status":"no"}', "wrong signature", "enrol the device again"),
        (signed(token, BODY, line="POST /v1/other"), BODY, "wrong signature", "enrol the device again"),
        (signed(token, BODY, ts=str(int(time.time()) - 301)), BODY, f"the device's {late}", f"{late}; set it"),
        ({"Authorization": "Hub-HMAC-SHA256 id=x"}, BODY, "malformed signature", "has the form"),
        (signed(new_token().text, BODY), BODY, "unknown token", "enrol the device again"),
    ]
    for headers, content, reason, told in bad:
        answer = await send(headers, content)
        assert answer.status_code == 401
        assert told in answer.json()["detail"]
        line = lite.lines("sec.hmac.invalid")[-1]
        assert (line["reason"], line["level"]) == (reason, "warning")


@pytest.mark.anyio
async def test_when_signatures_are_required_a_bare_token_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", hmac_required=True) as hub:
        headers = await hub.enrol()
        answer = await hub.client.post("/v1/heartbeat", json={"status": "ok"}, headers=headers)
        assert answer.status_code == 401
        assert hub.lines("sec.hmac.invalid")[-1]["reason"] == "not signed"
        token = headers["Authorization"].removeprefix("Bearer ")
        taken = await hub.client.post(
            "/v1/heartbeat", content=b'{"status":"ok"}', headers=signed(token, b'{"status":"ok"}')
        )
        assert taken.status_code == 200


@pytest.mark.anyio
async def test_of_twenty_who_send_the_same_signature_at_once_one_is_heard(hub: RunningHub) -> None:
    headers = signed((await hub.enrol())["Authorization"].removeprefix("Bearer "), BODY)
    answers = [hub.client.post("/v1/heartbeat", content=BODY, headers=headers) for _ in range(20)]
    assert sorted(a.status_code for a in await asyncio.gather(*answers)) == [200] + [401] * 19


@pytest.mark.anyio
async def test_nonces_are_kept_an_hour(lite: RunningHub) -> None:
    token = (await lite.enrol())["Authorization"].removeprefix("Bearer ")
    for ago in (0, 1800, 3700):
        await lite.client.post("/v1/heartbeat", content=BODY, headers=signed(token, BODY, nonce=f"{ago:016}"))
        then = update(nonces).where(nonces.c.nonce.endswith(f"{ago:016}")).values(used_at=nonces.c.used_at - ago * 1000)
        await lite.hub.db.write(lambda conn, then=then: conn.execute(then) and None)
    await retention.clean(lite.hub)
    assert sorted(row["nonce"][-4:] for row in await lite.rows(select(nonces))) == ["0000", "1800"]


def test_a_hub_that_was_killed_still_refuses_what_it_had_taken(tmp_path: Path, database_url: str) -> None:
    log = tmp_path / "log"
    given = {"HUB_HEARTBEAT_DEDUP_SECONDS": "0"}
    with log.open("wb") as out, HubProcess(tmp_path, database_url, out.fileno(), **given) as hub:
        with httpx.Client(base_url=hub.url, headers=ADMIN, timeout=30) as admin:
            token = enrol(admin, "tablet-1")["Authorization"].removeprefix("Bearer ")
        captured = signed(token, BODY)
        with httpx.Client(base_url=hub.url, timeout=30) as device:
            assert device.post("/v1/heartbeat", content=BODY, headers=captured).status_code == 200
            hub.kill()
            hub.start()
            assert device.post("/v1/heartbeat", content=BODY, headers=captured).status_code == 401
            assert device.post("/v1/heartbeat", content=BODY, headers=signed(token, BODY)).status_code == 200

    def refused() -> list[str]:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return [line["reason"] for line in lines if line["event"] == "sec.hmac.invalid"]

    assert wait_until("the refusal is logged", refused, 10) == ["replayed"]
    assert len(stored(database_url, select(heartbeats.c.id))) == 2, "the replay is none of them"
