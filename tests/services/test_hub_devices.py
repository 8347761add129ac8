"""Devices: enrolment, heartbeats, the admin's tokens and devices, on both databases."""

import asyncio
import secrets
from pathlib import Path

import pytest
from hub_support import ADMIN, RunningHub, bearer, running
from sqlalchemy import func, select, update

from hub.ids import digest, new_token, now_ms
from hub.store.tables import devices, enrolment_tokens, heartbeats

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]


async def test_a_token_registers_one_device_once(hub: RunningHub) -> None:
    token = await hub.new_token()
    first = await hub.client.post("/v1/register", json={"device_id": "a", "token": token})
    second = await hub.client.post("/v1/register", json={"device_id": "b", "token": token})
    assert (first.status_code, second.status_code) == (200, 401)
    assert second.json()["code"] == "token_consumed"
    assert [row["device_id"] for row in await hub.rows(select(devices))] == ["a"]


async def test_of_fifty_who_share_a_token_one_wins(hub: RunningHub) -> None:
    token = await hub.new_token()
    answers = await asyncio.gather(
        *(hub.client.post("/v1/register", json={"device_id": f"d{n}", "token": token}) for n in range(50))
    )
    assert sorted(a.status_code for a in answers) == [200] + [401] * 49
    assert len(await hub.rows(select(devices))) == 1


async def test_a_registration_whose_answer_was_lost_can_be_repeated(hub: RunningHub) -> None:
    own = new_token().text
    body = {"device_id": "a", "token": await hub.new_token(), "device_token": own}
    first = await hub.client.post("/v1/register", json=body)
    again = await hub.client.post("/v1/register", json=body)
    other = await hub.client.post("/v1/register", json=body | {"device_token": new_token().text})
    assert first.json()["device_token"] == again.json()["device_token"] == own
    assert (first.json()["created"], again.json()["created"], other.status_code) == (True, False, 401)


async def test_a_device_is_not_overwritten_but_by_a_token_made_for_it(hub: RunningHub) -> None:
    old = await hub.enrol("a")
    taken = await hub.client.post("/v1/register", json={"device_id": "a", "token": await hub.new_token()})
    meant = await hub.client.post("/v1/register", json={"device_id": "a", "token": await hub.new_token(device_id="a")})
    wrong = await hub.client.post("/v1/register", json={"device_id": "b", "token": await hub.new_token(device_id="a")})
    assert (taken.status_code, meant.status_code, wrong.status_code) == (409, 200, 403)
    assert (await hub.client.post("/v1/heartbeat", json={"status": "ok"}, headers=old)).status_code == 401


async def test_a_plant_that_is_known_stays_a_plant_when_it_registers(hub: RunningHub) -> None:
    await hub.hub.mqtt.dispatch("plant/fern/state", b"{}", False)
    await hub.enrol("fern")
    await hub.enrol("other")
    assert {row["device_id"]: row["kind"] for row in await hub.rows(select(devices))} == {
        "fern": "plant",
        "other": "tablet",
    }


async def test_a_token_id_of_another_device_is_refused(hub: RunningHub) -> None:
    own = new_token().text
    for name, status in (("a", 200), ("b", 409)):
        body = {"device_id": name, "token": await hub.new_token(), "device_token": own}
        assert (await hub.client.post("/v1/register", json=body)).status_code == status
    assert len(await hub.rows(select(devices))) == 1


@pytest.mark.parametrize("reason", ["unknown", "revoked", "expired", "malformed"])
async def test_a_bad_token_says_why_and_nothing_is_stored(hub: RunningHub, reason: str) -> None:
    token = await hub.new_token()
    given = {"unknown": new_token().text, "malformed": "x"}.get(reason, token)
    if reason == "revoked":
        await hub.client.delete(f"/admin/tokens/{token.partition('.')[0]}", headers=ADMIN)
    if reason == "expired":
        gone = update(enrolment_tokens).values(expires_at=now_ms() - 1)
        await hub.hub.db.write(lambda conn: conn.execute(gone) and None)
    answer = await hub.client.post("/v1/register", json={"device_id": "a", "token": given})
    assert answer.status_code == 401
    assert answer.json()["code"] == f"token_{'unknown' if reason == 'malformed' else reason}"
    assert await hub.rows(select(devices)) == []
    (line,) = hub.lines("register.fail")
    assert line["level"] == "warning"
    assert given.partition(".")[2] not in str(line) or reason == "malformed"


async def test_secrets_are_stored_and_listed_as_hashes_only(hub: RunningHub) -> None:
    token = await hub.new_token(note="kiln room")
    secret = token.partition(".")[2]
    (stored,) = await hub.rows(select(enrolment_tokens))
    listed = (await hub.client.get("/admin/tokens", headers=ADMIN)).text
    assert stored["token_hash"] == digest(secret)
    assert "kiln room" in listed
    assert secret not in listed
    assert digest(secret) not in listed
    assert secret not in str(hub.lines())


async def test_a_heartbeat_is_stored_once_by_its_id_and_by_its_content(hub: RunningHub) -> None:
    headers = await hub.enrol()

    async def beat(**body: object) -> bool:
        answer = await hub.client.post("/v1/heartbeat", json={"status": "ok", **body}, headers=headers)
        assert answer.status_code == 200
        return bool(answer.json()["dedup"])

    assert [await beat(heartbeat_id="h1"), await beat(heartbeat_id="h1"), await beat(heartbeat_id="h2")] == [0, 1, 0]
    assert [await beat(uptime_s=1), await beat(uptime_s=1), await beat(uptime_s=2)] == [0, 1, 0]
    (count,) = await hub.rows(select(func.count().label("n")).select_from(heartbeats))
    assert count["n"] == 4
    assert hub.metric("heartbeats_ingested_total") == 4
    assert hub.metric("heartbeats_dedup_hits_total") == 2
    listed = (await hub.client.get("/admin/devices", headers=ADMIN)).json()
    assert [(d["device_id"], d["status"], d["uptime_s"]) for d in listed] == [("tablet-1", "ok", 2)]


async def test_the_same_heartbeat_sent_twenty_times_at_once_is_one(hub: RunningHub) -> None:
    headers = await hub.enrol()
    body = {"status": "ok", "heartbeat_id": "same"}
    answers = await asyncio.gather(*(hub.client.post("/v1/heartbeat", json=body, headers=headers) for _ in range(20)))
    assert [a.status_code for a in answers] == [200] * 20
    assert sorted(a.json()["dedup"] for a in answers) == [False] + [True] * 19


async def test_devices_are_renamed_and_revoked(hub: RunningHub) -> None:
    headers = await hub.enrol()
    changed = await hub.client.patch(
        "/admin/devices/tablet-1", json={"alias": "Anna’s", "site": "north"}, headers=ADMIN
    )
    assert changed.json()["alias"] == "Anna’s"
    await hub.client.post("/v1/heartbeat", json={"status": "ok"}, headers=headers)
    assert hub.lines("heartbeat.ingest")[-1]["alias"] == "Anna’s"
    assert (await hub.client.delete("/admin/devices/tablet-1", headers=ADMIN)).status_code == 200
    assert (await hub.client.post("/v1/heartbeat", json={"status": "ok"}, headers=headers)).status_code == 401
    assert (await hub.client.delete("/admin/devices/nobody", headers=ADMIN)).status_code == 404
    assert (await hub.client.patch("/admin/devices/nobody", json={}, headers=ADMIN)).status_code == 404


async def test_who_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", rate_device=2) as hub:
        one, other = await hub.enrol("one"), await hub.enrol("other")
        codes = [
            (await hub.client.post("/v1/heartbeat", json={"status": "ok"}, headers=one)).status_code for _ in "abc"
        ]
        late = await hub.client.post("/v1/heartbeat", json={"status": "ok"}, headers=one)
        assert codes == [200, 200, 429]
        assert 1 <= int(late.headers["retry-after"]) <= 30
        assert hub.lines("sec.ratelimit")[-1]["level"] == "warning"
        assert (await hub.client.post("/v1/heartbeat", json={"status": "ok"}, headers=other)).status_code == 200


async def test_plain_http_is_refused_when_https_is_enforced(tmp_path: Path) -> None:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", https_only=True) as hub:
        refused = await hub.client.get("/admin/tokens", headers=ADMIN)
        assert (refused.status_code, refused.json()["code"]) == (403, "https_only")
        assert hub.lines("sec.https.enforced")[-1]["level"] == "warning"
        asked = {
            ("GET", "/admin/tokens"): "/admin/tokens",
            ("POST", "/v1/heartbeat"): "/v1/heartbeat",
            ("PATCH", "/admin/devices/tablet-1"): "/admin/devices/{device_id}",
            ("PUT", "/v1/heartbeat"): "/v1/heartbeat",
            ("GET", "/nothing/here"): "unmatched",
        }
        for (method, path), route in asked.items():
            assert (await hub.client.request(method, path)).status_code == 403
            assert hub.lines("sec.https.enforced")[-1]["route"] == route
            counted = hub.metric("http_requests_total", route=route, method=method, status_code="4xx")
            assert counted == 1 + (path == "/admin/tokens")
        assert (await hub.client.get("/healthz")).status_code == 200
        assert (await hub.client.get("https://hub/admin/tokens", headers=ADMIN)).status_code == 200


async def test_a_revoked_device_may_come_back_with_a_token_made_for_it(hub: RunningHub) -> None:
    await hub.enrol("a")
    await hub.client.delete("/admin/devices/a", headers=ADMIN)
    answer = await hub.client.post("/v1/register", json={"device_id": "a", "token": await hub.new_token(device_id="a")})
    beat = await hub.client.post("/v1/heartbeat", json={"status": "ok"}, headers=bearer(answer.json()["device_token"]))
    assert beat.status_code == 200


async def test_a_plant_can_be_revoked_renamed_and_sent_a_command_as_soon_as_it_is_known(hub: RunningHub) -> None:
    async def new() -> str:
        name = f"fern-{secrets.token_hex(4)}"
        await hub.hub.mqtt.dispatch(f"plant/{name}/state", b"{}", False)
        return name

    name = await new()
    assert (await hub.client.delete(f"/admin/devices/{name}", headers=ADMIN)).status_code == 200
    await hub.hub.mqtt.dispatch(f"plant/{name}/state", b"{}", False)
    await hub.hub.provisioning.states.flush()
    (row,) = await hub.rows(select(devices))
    assert row["revoked_at"] is not None
    asked = {"method": "ble", "timeout": 0.1, "device_id": name, "require_fresh": False}
    assert (await hub.client.post("/provision/wait", json=asked, headers=ADMIN)).json()["status"] == "timeout"
    renamed = await hub.client.patch(f"/admin/devices/{await new()}", json={"alias": "Fern"}, headers=ADMIN)
    assert renamed.json()["alias"] == "Fern"
    sent = await hub.client.post("/admin/command", json={"device_id": await new(), "action": "water"}, headers=ADMIN)
    assert sent.status_code == 200
    nobody = await hub.client.delete("/admin/devices/nobody", headers=ADMIN)
    assert nobody.status_code == 404, "who was never heard of is not there"


async def test_revoked_and_registered_again_at_once_each_holds_at_once(hub: RunningHub) -> None:
    token = bearer(await hub.new_token())
    asked = {"method": "ble", "timeout": 0.1, "device_id": "fern", "require_fresh": False}
    device = await hub.enrol("fern", kind="plant")
    for _ in range(5):
        await hub.hub.mqtt.dispatch("plant/fern/state", b"{}", False)
        beat = await hub.client.post("/v1/heartbeat", json={"status": "ok"}, headers=device)
        waited = await hub.client.post("/provision/wait", json=asked, headers=token)
        assert (beat.status_code, waited.json()["status"]) == (200, "cached")
        assert (await hub.client.delete("/admin/devices/fern", headers=ADMIN)).status_code == 200
        beat = await hub.client.post("/v1/heartbeat", json={"status": "ok"}, headers=device)
        waited = await hub.client.post("/provision/wait", json=asked, headers=token)
        assert (beat.status_code, waited.json()["status"]) == (401, "timeout")
        old, again = device, {"device_id": "fern", "token": await hub.new_token(device_id="fern")}
        device = bearer((await hub.client.post("/v1/register", json=again)).json()["device_token"])
        assert (await hub.client.post("/v1/heartbeat", json={"status": "ok"}, headers=old)).status_code == 401


async def test_a_repeated_registration_of_a_revoked_device_is_refused(hub: RunningHub) -> None:
    body = {"device_id": "a", "token": await hub.new_token(), "device_token": "ABCDabcd1234." + "s" * 30}
    assert (await hub.client.post("/v1/register", json=body)).json()["created"] is True
    assert (await hub.client.post("/v1/register", json=body)).json()["created"] is False
    await hub.client.delete("/admin/devices/a", headers=ADMIN)
    answer = await hub.client.post("/v1/register", json=body)
    assert (answer.status_code, answer.json()["code"]) == (401, "token_revoked")
