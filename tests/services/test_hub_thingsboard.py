"""ThingsBoard's provisioning: every answer, over MQTT and HTTP, by ThingsBoard's own SDK too; broker accounts."""

import asyncio
import json
import socket
import subprocess
import time
import venv
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hub_broker import Mosquitto
from hub_support import ADMIN, ADMIN_TOKEN, RunningHub, free_port, running
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import select
from typer.testing import CliRunner

from hostctl import broker as host_broker
from hostctl import credentials as host_credentials
from hub import cli
from hub.store.tables import credentials, devices, provision_audit

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]
NOT_FOUND = {"errorMsg": "Provision data was not found!", "status": "NOT_FOUND"}
Key = dict[str, str]


@pytest.fixture
async def made(tmp_path: Path, database_url: str) -> AsyncIterator[RunningHub]:
    """A hub that writes broker accounts, on each database."""
    async with running(tmp_path, database_url, broker_users_file=tmp_path / "hub.json") as hub:
        yield hub


@pytest.fixture
async def listening(tmp_path: Path) -> AsyncIterator[tuple[RunningHub, int]]:
    """A hub with its provisioning listener."""
    port = free_port()
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", provision_port=port) as hub:
        yield hub, port


async def new_key(hub: RunningHub, **body: Any) -> Key:
    answer = await hub.client.post("/admin/provision-keys", json=body, headers=ADMIN)
    assert answer.status_code == 200
    return {"provisionDeviceKey": answer.json()["key"], "provisionDeviceSecret": answer.json()["secret"]}


async def ask(hub: RunningHub, body: Any) -> dict[str, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await hub.client.post("/api/v1/provision", content=content)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def certificate(name: str = "eye") -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


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


async def test_a_revoked_device_does_not_come_back_by_itself(made: RunningHub, tmp_path: Path) -> None:
    body = {**await new_key(made), "deviceName": "eye", "token": "chosen-token-1"}
    await ask(made, body)
    assert [u["name"] for u in json.loads((tmp_path / "hub.json").read_text())["users"]] == ["chosen-token-1"]
    await made.client.delete("/admin/devices/eye", headers=ADMIN)
    assert json.loads((tmp_path / "hub.json").read_text()) == {"users": [], "roles": []}
    assert (await ask(made, body))["status"] == "FAILURE"


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


def _login(port: int, user: str, password: str, publish: str, subscribe: str) -> tuple[bool, bool, bool]:
    """Whether a broker lets a user in, hear `subscribe`, and whether what it publishes on `publish` arrives."""
    state: dict[str, Any] = {"in": None, "heard": None, "codes": None}
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"{user}-try")
    client.username_pw_set(user, password)
    client.on_connect = lambda _c, _u, _f, code, _p: state.update({"in": not code.is_failure})
    client.on_subscribe = lambda _c, _u, _m, codes, _p: state.update({"codes": codes})
    client.connect("127.0.0.1", port)
    client.loop_start()
    deadline = time.monotonic() + 3
    while state["in"] is None and time.monotonic() < deadline:
        time.sleep(0.01)
    if not state["in"]:
        client.loop_stop()
        return False, False, False
    client.subscribe(subscribe, qos=1)
    while state["codes"] is None and time.monotonic() < deadline:
        time.sleep(0.01)
    client.publish(publish, "probe", qos=1, retain=True).wait_for_publish(3)
    client.disconnect()
    client.loop_stop()
    heard: list[bytes] = []
    admin = paho.Client(CallbackAPIVersion.VERSION2)
    admin.username_pw_set("admin", "admin")
    admin.on_message = lambda _c, _u, message: heard.append(message.payload)
    admin.connect("127.0.0.1", port)
    admin.loop_start()
    admin.subscribe(publish, qos=1)
    time.sleep(0.3)
    admin.disconnect()
    admin.loop_stop()
    return True, not state["codes"][0].is_failure, heard == [b"probe"]


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
            began = time.monotonic()
            await ask(hub, {**key, "deviceName": "eye", **basic})
            _host_takes_over(tmp_path, broker)
            own = ("camera/eye/telemetry", "camera/eye/cmd/#")

            async def may() -> bool:
                return await asyncio.to_thread(_login, broker.port, "eye", "secret-1", *own) == (True, True, True)

            await hub.until(may, 5)
            assert time.monotonic() - began < 5
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

            await hub.until(may_not, 5)
    finally:
        await asyncio.to_thread(broker.stop)


class Client:
    """A device at the provisioning listener."""

    def __init__(self, port: int, client_id: str = "", user: str | None = "provision") -> None:
        self.got: list[tuple[str, Any, bool]] = []
        self.codes: dict[int, Any] = {}
        self.connected: bool | None = None
        self.gone = False
        self._paho = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        if user:
            self._paho.username_pw_set(user)
        self._paho.on_connect = lambda _c, _u, _f, code, _p: setattr(self, "connected", not code.is_failure)
        self._paho.on_message = lambda _c, _u, m: self.got.append((m.topic, json.loads(m.payload), m.retain))
        self._paho.on_subscribe = lambda _c, _u, mid, codes, _p: self.codes.update({mid: codes[0]})
        self._paho.on_disconnect = lambda *_: setattr(self, "gone", True)
        self._paho.connect("127.0.0.1", port)
        self._paho.loop_start()
        self._until(lambda: self.connected is not None)

    def _until(self, condition: Any, seconds: float = 8) -> bool:
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        return bool(condition())

    def subscribe(self, topic: str = "/provision/response") -> bool:
        _, mid = self._paho.subscribe(topic, qos=1)
        assert mid is not None
        assert self._until(lambda: mid in self.codes)
        return not self.codes[mid].is_failure

    def publish(self, payload: Any, topic: str = "/provision/request", *, retain: bool = False) -> None:
        content = payload if isinstance(payload, bytes) else json.dumps(payload)
        self._paho.publish(topic, content, qos=1, retain=retain)

    def answer(self) -> dict[str, Any]:
        assert self._until(lambda: self.got), "no answer came"
        topic, payload, retained = self.got[0]
        assert (topic, retained) == ("/provision/response", False)
        found: dict[str, Any] = payload
        return found

    def wait_gone(self) -> bool:
        return self._until(lambda: self.gone)

    def close(self) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()


async def in_thread(work: Any, *args: Any) -> Any:
    return await asyncio.to_thread(work, *args)


async def test_the_listener_answers_who_asked_and_nobody_else(listening: tuple[RunningHub, int]) -> None:
    hub, port = listening
    key = await new_key(hub)

    def work() -> None:
        eavesdropper = Client(port)
        assert eavesdropper.subscribe()
        clients = [Client(port, "same-id") for _ in range(10)]
        for n, client in enumerate(clients):
            assert client.subscribe()
            client.publish({**key, "deviceName": f"eye-{n}", "token": f"token-of-{n:03}"})
        for n, client in enumerate(clients):
            assert client.answer()["credentialsValue"] == f"token-of-{n:03}"
            assert len(client.got) == 1
        assert eavesdropper.got == []
        for client in (*clients, eavesdropper):
            client.close()

    await in_thread(work)
    assert hub.metric("thingsboard_provision_total", transport="mqtt", result="SUCCESS") == 10


async def test_the_listener_lets_in_who_says_provision_and_refuses_all_else(
    listening: tuple[RunningHub, int],
) -> None:
    _, port = listening

    def work() -> None:
        assert Client(port, user="somebody").connected is False
        assert Client(port, client_id="provision", user=None).connected is True
        client = Client(port)
        for topic in ("#", "/provision/+", "/provision/request", "other", "$SYS/#"):
            assert not client.subscribe(topic)
        client.publish({}, "/provision/response", retain=True)
        assert client.wait_gone()
        late = Client(port)
        assert late.subscribe()
        time.sleep(0.3)
        assert late.got == [], "nothing was retained or passed on"
        late.publish(b"x" * 65_537)
        assert late.answer()["status"] == "FAILURE"

    await in_thread(work)


async def test_junk_on_the_wire_harms_nobody(listening: tuple[RunningHub, int]) -> None:
    hub, port = listening
    key = await new_key(hub)
    junk = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x10\xff\xff\xff\x7f",
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00" + b"\x30\xff\xff\xff\x7f",
        bytes(100),
    ]

    def work() -> dict[str, Any]:
        for content in junk * 10:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(content)
        client = Client(port)
        assert client.subscribe()
        client.publish(key)
        answer = client.answer()
        client.close()
        return answer

    assert (await in_thread(work))["status"] == "SUCCESS"


SDK_PROGRAM = """
import json, sys
from tb_device_mqtt import TBDeviceMqttClient
port, key, secret = int(sys.argv[1]), sys.argv[2], sys.argv[3]
ask = lambda secret, **more: TBDeviceMqttClient.provision("127.0.0.1", key, secret, port=port, **more)
answers = [
    ask(secret, device_name="sdk-1", access_token="sdk-token-1"),
    ask(secret, device_name="sdk-2", client_id="c", username="u", password="p"),
    ask("wrong", device_name="sdk-3"),
]
print(json.dumps(answers))
"""


@pytest.fixture(scope="session")
def sdk_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has ThingsBoard's SDK: an environment of its own, since the SDK brings its own `paho`."""
    folder = tmp_path_factory.mktemp("sdk") / "venv"
    venv.create(folder, with_pip=True)
    lock = Path(__file__).with_name("test_hub_sdk.lock")
    command = [folder / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", lock]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "bin" / "python"


async def test_thingsboards_own_sdk_provisions_unchanged(listening: tuple[RunningHub, int], sdk_python: Path) -> None:
    hub, port = listening
    key = await new_key(hub)

    def work() -> "subprocess.CompletedProcess[str]":
        args = [sdk_python, "-c", SDK_PROGRAM, str(port), key["provisionDeviceKey"], key["provisionDeviceSecret"]]
        return subprocess.run(args, check=False, capture_output=True, text=True, timeout=60)

    done = await in_thread(work)
    assert done.returncode == 0, done.stderr
    token, basic, wrong = json.loads(done.stdout.splitlines()[-1])
    assert (token["status"], token["credentialsValue"]) == ("SUCCESS", "sdk-token-1")
    assert basic["credentialsValue"] == {"clientId": "c", "userName": "u", "password": "p"}
    assert wrong is None or wrong["status"] == "NOT_FOUND"


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
