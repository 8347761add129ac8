"""ThingsBoard's provisioning: every answer, on both databases; keys by the command line."""

import asyncio
import json
from pathlib import Path

import pytest
from hub_support import ADMIN, ADMIN_TOKEN, RunningHub, running
from hub_things import NOT_FOUND, ask, certificate, fingerprint_of, new_key
from sqlalchemy import Connection, select, text, update
from typer.testing import CliRunner

from hostctl.broker import matches
from hub import cli
from hub.store.tables import credentials, devices, provision_audit
from hub.thingsboard.accounts import broker_hash

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]


async def test_an_access_token_is_made_or_taken_as_given(made: RunningHub) -> None:
    key = await new_key(made)
    answer = await ask(made, {**key, "deviceName": "  eye-1 ", "token": "chosen-token-1"})
    assert answer == {"credentialsType": "ACCESS_TOKEN", "credentialsValue": "chosen-token-1", "status": "SUCCESS"}
    answer = await ask(made, key)
    assert (answer["status"], len(answer["credentialsValue"])) == ("SUCCESS", 20)
    names = [row["device_id"] for row in await made.rows(select(devices))]
    assert "eye-1" in names
    assert sorted(len(name) for name in names) == [5, 20]


async def test_basic_credentials_come_back_as_user_name(made: RunningHub) -> None:
    key = await new_key(made)
    asked = {"clientId": "c1", "username": "u1", "password": "secret-1", "credentialsType": "MQTT_BASIC"}
    answer = await ask(made, {**key, "deviceName": "eye", **asked})
    assert answer == {
        "credentialsType": "MQTT_BASIC",
        "credentialsValue": {"clientId": "c1", "userName": "u1", "password": "secret-1"},
        "status": "SUCCESS",
    }


async def test_a_certificate_comes_back_without_its_frame(made: RunningHub) -> None:
    key, pem = await new_key(made), certificate()
    answer = await ask(made, {**key, "deviceName": "eye", "credentialsType": "X509_CERTIFICATE", "hash": pem})
    assert answer["status"] == "SUCCESS"
    assert answer["credentialsValue"] == "".join(pem.strip().splitlines()[1:-1])


async def test_nobody_logs_in_with_what_a_certificate_shows(made: RunningHub, tmp_path: Path) -> None:
    key, pem = await new_key(made), certificate()
    await ask(made, {**key, "deviceName": "eye", "credentialsType": "X509_CERTIFICATE", "hash": pem})
    await ask(made, {**key, "deviceName": "ear", "token": "chosen-token-1"})
    body, fingerprint = "".join(pem.strip().splitlines()[1:-1]), fingerprint_of(pem)
    file = json.loads((tmp_path / "hub.json").read_text())
    hashes = {user["name"]: user["hash"] for user in file["users"]}
    assert set(hashes) == {fingerprint, "chosen-token-1"}, "a broker that maps certificates finds its rights"
    assert matches(b"chosen-token-1", hashes["chosen-token-1"])
    for shown in (body, pem, fingerprint, ""):
        assert not matches(shown.encode(), hashes[fingerprint])


async def test_accounts_of_certificates_that_had_a_password_have_none_any_more(
    tmp_path: Path, database_url: str
) -> None:
    pem, file = certificate(), tmp_path / "hub.json"
    body = "".join(pem.strip().splitlines()[1:-1])
    async with running(tmp_path, database_url) as hub:
        key = await new_key(hub)
        await ask(hub, {**key, "deviceName": "eye", "credentialsType": "X509_CERTIFICATE", "hash": pem})
        await ask(hub, {**key, "deviceName": "ear", "token": "chosen-token-1"})

        def as_it_was(conn: Connection) -> None:
            conn.execute(
                update(credentials).where(credentials.c.device_id == "eye").values(login_hash=broker_hash(body))
            )
            conn.execute(text("UPDATE alembic_version SET version_num = '0003'"))

        await hub.hub.db.write(as_it_was)
    async with running(tmp_path, database_url, broker_users_file=file):
        hashes = {user["name"]: user["hash"] for user in json.loads(file.read_text())["users"]}
    assert not matches(body.encode(), hashes[fingerprint_of(pem)])
    assert matches(b"chosen-token-1", hashes["chosen-token-1"]), "others stay as they are"


async def test_a_lost_answer_is_asked_for_again_with_the_same_token(made: RunningHub) -> None:
    key = await new_key(made)
    body = {**key, "deviceName": "eye", "token": "chosen-token-1"}
    assert await ask(made, body) == await ask(made, body)
    assert len(await made.rows(select(devices))) == 1
    other = {"errorMsg": "Failed to provision device!", "status": "FAILURE"}
    assert await ask(made, {**body, "token": "another-token"}) == other
    assert await ask(made, {**key, "deviceName": "eye"}) == other
    assert await ask(made, {**body, "deviceName": "eye-2"}) == other, "a token belongs to one device"
    assert await ask(made, {**body, **await new_key(made)}) == other, "another key adopts nothing"
    reasons = [row["reason"] for row in await made.rows(select(provision_audit))]
    assert reasons == ["the device exists already"] * 2 + ["the credentials belong to another device"] + [
        "the device exists already"
    ]


async def test_a_hundred_who_ask_at_once_for_one_name_are_one_device(made: RunningHub) -> None:
    key = await new_key(made)
    answers = await asyncio.gather(
        *(ask(made, {**key, "deviceName": "eye", "token": f"token-of-{n:03}"}) for n in range(100))
    )
    won = [a for a in answers if a["status"] == "SUCCESS"]
    assert len(won) == 1
    (stored,) = await made.rows(select(credentials))
    assert stored["login"] == won[0]["credentialsValue"]


async def test_wrong_keys_are_not_found_and_written_down_without_secrets(made: RunningHub) -> None:
    key = await new_key(made)
    secret = "wrong-secret-that-must-not-leak"
    assert await ask(made, {**key, "provisionDeviceSecret": secret}) == NOT_FOUND
    assert await ask(made, {**key, "provisionDeviceKey": "nope"}) == NOT_FOUND
    await made.client.delete(f"/admin/provision-keys/{key['provisionDeviceKey']}", headers=ADMIN)
    assert await ask(made, key) == NOT_FOUND
    audit = (await made.client.get("/admin/provision-audit", headers=ADMIN)).json()
    assert [row["reason"] for row in audit] == ["key revoked", "unknown key", "wrong secret"]
    text = json.dumps(audit) + json.dumps(made.lines())
    assert secret not in text
    assert key["provisionDeviceSecret"] not in text
    assert made.metric("thingsboard_provision_total", transport="http", result="NOT_FOUND") == 3


BAD = {
    "null": b"null",
    "array": b"[]",
    "malformed": b"{",
    "not utf-8": b"\xff\xfe",
    "nan": b'{"provisionDeviceKey": NaN}',
    "twice": b'{"provisionDeviceKey":"a","provisionDeviceKey":"b"}',
    "too long": b'{"a":"' + b"x" * 65_536 + b'"}',
    "deep": b"[" * 50_000,
    "no key": b'{"provisionDeviceSecret":"x"}',
    "no secret": b'{"provisionDeviceKey":"x"}',
}


@pytest.mark.parametrize("case", BAD)
async def test_what_thingsboard_leaves_without_an_answer_gets_one_here(lite: RunningHub, case: str) -> None:
    answer = await ask(lite, BAD[case])
    assert answer["status"] == "FAILURE"
    assert answer["errorMsg"].startswith("Failed to provision device! ")
    assert lite.metric("thingsboard_provision_total", transport="http", result="FAILURE") == 1


FIELDS = (
    "provisionDeviceKey",
    "provisionDeviceSecret",
    "deviceName",
    "token",
    "clientId",
    "username",
    "password",
    "hash",
)
HOSTILE = (None, [], 1, True, "a\0b", "a\nb", "\ud800", "x" * 300, "")


@pytest.mark.parametrize("field", [*FIELDS, "credentialsType", "gateway"])
async def test_a_hostile_value_in_any_field_is_answered(lite: RunningHub, field: str) -> None:
    key = await new_key(lite)
    for value in HOSTILE:
        for kind in ("ACCESS_TOKEN", "MQTT_BASIC", "X509_CERTIFICATE"):
            answer = await ask(lite, {**key, "credentialsType": kind, field: value})
            assert answer["status"] in {"FAILURE", "SUCCESS"} or answer == NOT_FOUND
            assert set(answer) in ({"errorMsg", "status"}, {"credentialsType", "credentialsValue", "status"})
    blank = await ask(lite, {**key, "deviceName": "   "})
    assert blank["status"] == "FAILURE"
    assert not [line for line in lite.lines() if line["level"] == "error"]


async def test_who_asks_too_often_is_told(tmp_path: Path) -> None:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", rate_provision=2) as hub:
        answers = [await ask(hub, b"{}") for _ in range(3)]
        assert "Too many requests" in answers[2]["errorMsg"]
        assert hub.metric("thingsboard_provision_total", transport="http", result="RATE_LIMITED") == 1


def test_the_command_line_makes_lists_and_revokes_keys(tmp_path: Path) -> None:
    env = {"HUB_ADMIN_TOKEN": ADMIN_TOKEN, "HUB_DATABASE_URL": f"sqlite:///{tmp_path}/hub.db"}
    run = CliRunner()
    made = json.loads(run.invoke(cli.app, ["provision-key", "create", "--kind", "plant", "--json"], env=env).stdout)
    assert set(made) == {"key", "secret"}
    listed = json.loads(run.invoke(cli.app, ["provision-key", "list", "--json"], env=env).stdout)
    assert [(k["key"], k["kind"], k["revoked_at"]) for k in listed] == [(made["key"], "plant", None)]
    assert made["secret"] not in json.dumps(listed)
    assert run.invoke(cli.app, ["provision-key", "revoke", made["key"]], env=env).exit_code == 0
    missing = run.invoke(cli.app, ["provision-key", "revoke", "nope"], env=env)
    assert (missing.exit_code, "Traceback" in missing.output) == (1, False)
    assert run.invoke(cli.app, ["provision-key", "create", "--kind", "A B"], env=env).exit_code == 2
