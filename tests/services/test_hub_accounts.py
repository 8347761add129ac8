"""Accounts of provisioned devices at the broker: made, given back, taken away."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from hub_broker import Mosquitto
from hub_support import ADMIN, RunningHub, bearer, running
from hub_things import ask, new_key
from paho.mqtt.enums import CallbackAPIVersion

from hostctl import broker as host_broker
from hostctl import credentials as host_credentials

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]


async def test_a_revoked_device_does_not_come_back_by_itself(made: RunningHub, tmp_path: Path) -> None:
    body = {**await new_key(made), "deviceName": "eye", "token": "chosen-token-1"}
    await ask(made, body)
    assert [u["name"] for u in json.loads((tmp_path / "hub.json").read_text())["users"]] == ["chosen-token-1"]
    await made.client.delete("/admin/devices/eye", headers=ADMIN)
    assert json.loads((tmp_path / "hub.json").read_text()) == {"users": [], "roles": []}
    assert (await ask(made, body))["status"] == "FAILURE"


async def test_a_revoked_device_that_is_registered_anew_has_not_its_old_account_again(
    made: RunningHub, tmp_path: Path
) -> None:
    key = await new_key(made)
    await ask(made, {**key, "deviceName": "eye", "token": "stolen-token-1"})
    await made.client.delete("/admin/devices/eye", headers=ADMIN)
    await made.enrol("eye", token=await made.new_token(device_id="eye"))
    await ask(made, {**key, "deviceName": "other", "token": "chosen-token-2"})
    assert [u["name"] for u in json.loads((tmp_path / "hub.json").read_text())["users"]] == ["chosen-token-2"]


async def test_a_device_whose_token_is_lost_provisions_itself_anew_once_the_admin_says_so(
    made: RunningHub, tmp_path: Path
) -> None:
    key = await new_key(made)
    assert (await ask(made, {**key, "deviceName": "eye", "token": "chosen-token-1"}))["status"] == "SUCCESS"
    fresh = {**key, "deviceName": "eye", "token": "chosen-token-2"}
    assert (await ask(made, fresh))["status"] == "FAILURE"
    await made.client.delete("/admin/devices/eye", headers=ADMIN)
    assert (await made.client.delete("/admin/devices/eye/credentials", headers=ADMIN)).status_code == 200
    assert json.loads((tmp_path / "hub.json").read_text()) == {"users": [], "roles": []}
    assert (await ask(made, fresh))["status"] == "SUCCESS"
    assert [u["name"] for u in json.loads((tmp_path / "hub.json").read_text())["users"]] == ["chosen-token-2"]
    assert (await ask(made, {**key, "deviceName": "eye", "token": "chosen-token-1"}))["status"] == "FAILURE"
    assert (await made.client.delete("/admin/devices/nobody/credentials", headers=ADMIN)).status_code == 404


async def test_taking_credentials_back_is_logged_with_the_token_that_ends(made: RunningHub) -> None:
    key = await new_key(made)
    await ask(made, {**key, "deviceName": "eye", "token": "chosen-token-1"})
    asked = {"device_id": "eye", "token": await made.new_token(device_id="eye")}
    device_token = (await made.client.post("/v1/register", json=asked)).json()["device_token"]
    for token_id in (device_token.partition(".")[0][-4:], None):
        assert (await made.client.delete("/admin/devices/eye/credentials", headers=ADMIN)).status_code == 200
        line = made.lines("sec.token.revoke")[-1]
        assert (line["reason"], line["token_id"], line["device_id"]) == ("credentials taken back", token_id, "eye")
        await ask(made, {**key, "deviceName": "eye", "token": "chosen-token-2"})


async def test_a_device_token_from_before_a_revocation_is_never_good_again(made: RunningHub) -> None:
    key = await new_key(made)
    await ask(made, {**key, "deviceName": "eye", "token": "chosen-token-1"})
    asked = {"device_id": "eye", "token": await made.new_token(device_id="eye")}
    old = bearer((await made.client.post("/v1/register", json=asked)).json()["device_token"])
    beat = {"json": {"status": "ok"}, "headers": old}
    assert (await made.client.post("/v1/heartbeat", **beat)).status_code == 200
    await made.client.delete("/admin/devices/eye", headers=ADMIN)
    assert (await made.client.delete("/admin/devices/eye/credentials", headers=ADMIN)).status_code == 200
    assert (await ask(made, {**key, "deviceName": "eye", "token": "chosen-token-2"}))["status"] == "SUCCESS"
    # What the hub remembers of devices for some seconds must not be what refuses it.
    made.app.state.device_memory.forget()
    assert (await made.client.post("/v1/heartbeat", **beat)).status_code == 401


async def test_accounts_are_written_anew_when_the_file_is_lost(tmp_path: Path, database_url: str) -> None:
    file = tmp_path / "hub.json"
    for expected in ("SUCCESS", None):
        async with running(tmp_path, database_url, broker_users_file=file) as hub:
            if expected:
                body = {**await new_key(hub), "deviceName": "eye", "token": "chosen-token-1"}
                assert (await ask(hub, body))["status"] == expected
            assert [u["name"] for u in json.loads(file.read_text())["users"]] == ["chosen-token-1"]
            assert file.stat().st_mode & 0o777 == 0o600
        file.unlink()


async def test_accounts_that_cannot_be_written_are_a_problem_that_is_shown(tmp_path: Path) -> None:
    away = tmp_path / "nowhere" / "hub.json"
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", broker_users_file=away) as hub:
        assert (await ask(hub, {**await new_key(hub), "deviceName": "eye"}))["status"] == "SUCCESS"
        ready = (await hub.client.get("/readyz")).json()
        assert "broker accounts" in ready["problems"]


async def test_an_account_that_could_not_be_taken_away_at_once_is_taken_away(tmp_path: Path, database_url: str) -> None:
    folder = tmp_path / "accounts"
    folder.mkdir()
    async with running(tmp_path, database_url, broker_users_file=folder / "hub.json") as hub:
        await ask(hub, {**await new_key(hub), "deviceName": "eye", "token": "chosen-token-1"})
        folder.rename(tmp_path / "away")
        assert (await hub.client.delete("/admin/devices/eye", headers=ADMIN)).status_code == 200
        assert "broker accounts" in (await hub.client.get("/readyz")).json()["problems"]
        shown = hub.hub.problems["broker accounts"]
        await hub.until(lambda: hub.hub.problems["broker accounts"] != shown)  # tried again: each try has its own file
        assert len(hub.lines("broker_accounts.fail")) == 1, "what is tried again is told once"
        (tmp_path / "away").rename(folder)
        assert [u["name"] for u in json.loads((folder / "hub.json").read_text())["users"]] == ["chosen-token-1"]
        await hub.until(lambda: json.loads((folder / "hub.json").read_text()) == {"users": [], "roles": []}, 60)
        await hub.until(lambda: "broker accounts" not in hub.hub.problems, 30)


async def test_the_rights_of_an_account_follow_its_device_when_that_becomes_of_another_kind(
    made: RunningHub, tmp_path: Path
) -> None:
    await ask(made, {**await new_key(made, kind="camera"), "deviceName": "eye", "token": "chosen-token-1"})

    def topics() -> set[str]:
        (role,) = json.loads((tmp_path / "hub.json").read_text())["roles"]
        return {permission["topic"].split("/")[0] for permission in role["permissions"]}

    assert topics() == {"camera"}
    await made.enrol("eye", token=await made.new_token(device_id="eye"), kind="plant")
    assert topics() == {"plant"}


def _login(port: int, user: str, password: str, publish: str, subscribe: str) -> tuple[bool, bool, bool]:
    """Whether a broker lets a user in, hear `subscribe`, and whether what it publishes on `publish` arrives."""
    state: dict[str, Any] = {"in": None, "heard": None, "codes": None}
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"{user}-try")
    client.username_pw_set(user, password)
    client.on_connect = lambda _c, _u, _f, code, _p: state.update({"in": not code.is_failure})
    client.on_subscribe = lambda _c, _u, _m, codes, _p: state.update({"codes": codes})
    client.connect("127.0.0.1", port)
    client.loop_start()
    deadline = time.monotonic() + 30
    while state["in"] is None and time.monotonic() < deadline:
        time.sleep(0.01)
    if not state["in"]:
        client.loop_stop()
        return False, False, False
    client.subscribe(subscribe, qos=1)
    while state["in"] and state["codes"] is None and time.monotonic() < deadline:
        time.sleep(0.01)
    if state["codes"] is None:
        client.loop_stop()
        return False, False, False
    client.publish(publish, "probe", qos=1, retain=True).wait_for_publish(30)
    client.disconnect()
    client.loop_stop()
    heard: list[bytes] = []
    admin = paho.Client(CallbackAPIVersion.VERSION2)
    admin.username_pw_set("admin", "admin")
    admin.on_message = lambda _c, _u, message: heard.append(message.payload)
    admin.connect("127.0.0.1", port)
    admin.loop_start()
    admin.subscribe(publish, qos=1)
    admin.publish(publish, "the end", qos=1)
    while b"the end" not in heard and time.monotonic() < deadline:
        time.sleep(0.01)
    admin.disconnect()
    admin.loop_stop()
    return True, not state["codes"][0].is_failure, heard == [b"probe", b"the end"]


def _host_takes_over(folder: Path, broker: Mosquitto) -> None:
    """What the host does with the hub's file, for a Mosquitto."""
    added = json.loads((folder / "hub.json").read_text())
    admin = {"name": "admin", "hash": host_broker.new_hash(b"admin", b"0123456789ab")}
    (folder / "passwd").write_bytes(host_credentials.mosquitto([admin, *added["users"]]))
    words = {"PUBLISH": "write", "SUBSCRIBE": "read"}
    lines = ["user admin", "topic readwrite #"]
    for user in added["users"]:
        (role,) = [r for r in added["roles"] if r["id"] in user["roles"]]
        lines += [f"user {user['name']}"]
        lines += [f"topic {words[p['activity']]} {p['topic']}" for p in role["permissions"]]
    (folder / "acl").write_text("\n".join(lines) + "\n")
    for name in ("passwd", "acl"):
        (folder / name).chmod(0o600)
    broker.reload()


async def test_a_provisioned_device_logs_in_to_its_own_topics_and_a_revoked_one_not_at_all(tmp_path: Path) -> None:
    for name in ("passwd", "acl"):
        (tmp_path / name).touch(0o600)
    extra = f"allow_anonymous false\npassword_file {tmp_path}/passwd\nacl_file {tmp_path}/acl"
    broker = Mosquitto(tmp_path, extra)
    await asyncio.to_thread(broker.start)
    try:
        given = {"broker_users_file": tmp_path / "hub.json"}
        async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", **given) as hub:
            key = await new_key(hub, kind="camera")
            basic = {"credentialsType": "MQTT_BASIC", "username": "eye", "password": "secret-1"}
            await ask(hub, {**key, "deviceName": "eye", **basic})
            _host_takes_over(tmp_path, broker)
            own = ("camera/eye/telemetry", "camera/eye/cmd/#")

            async def may() -> bool:
                return await asyncio.to_thread(_login, broker.port, "eye", "secret-1", *own) == (True, True, True)

            await hub.until(may, 60)
            foreign = await asyncio.to_thread(
                _login, broker.port, "eye", "secret-1", "camera/other/telemetry", "camera/eye/cmd/#"
            )
            assert foreign == (True, True, False)
            wrong = await asyncio.to_thread(_login, broker.port, "eye", "wrong", *own)
            assert wrong == (False, False, False)
            await hub.client.delete("/admin/devices/eye", headers=ADMIN)
            _host_takes_over(tmp_path, broker)

            async def may_not() -> bool:
                return await asyncio.to_thread(_login, broker.port, "eye", "secret-1", *own) == (False, False, False)

            await hub.until(may_not, 60)
    finally:
        await asyncio.to_thread(broker.stop)
