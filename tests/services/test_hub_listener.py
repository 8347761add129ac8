"""The provisioning listener: ThingsBoard's protocol over MQTT, by ThingsBoard's own SDK too."""

import asyncio
import json
import socket
import subprocess
import time
import venv
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from hub_support import RunningHub
from hub_things import new_key
from paho.mqtt.enums import CallbackAPIVersion

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]


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


CONNECT = bytes([0x10, 12 + 11]) + b"\x00\x04MQTT\x04\x82\x00\x3c" + b"\x00\x00" + b"\x00\x09provision"


def publish(payload: bytes, topic: bytes = b"/provision/request") -> bytes:
    """A PUBLISH with QoS 0 of any size."""
    body = len(topic).to_bytes(2, "big") + topic + payload
    length, left = b"", len(body)
    while left or not length:
        left, digit = left >> 7, left & 0x7F
        length += bytes([digit | (0x80 if left else 0)])
    return b"\x30" + length + body


def until_closed(port: int, *parts: bytes) -> bytes:
    """What a raw client reads until the hub closes, which must be soon."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        got = b""
        try:
            for part in parts:
                connection.sendall(part)
            while more := connection.recv(4096):
                got += more
        except (ConnectionResetError, BrokenPipeError):
            pass
        return got


PUBCOMPS = b"\x70\x02\x00\x01" * 10_000
ENDED = {
    "a packet that is too large, whose payload are packets": ("too large", [CONNECT, publish(PUBCOMPS * 5)]),
    "packets without end": ("too many packets", [CONNECT, PUBCOMPS]),
    "packets in a packet that amqtt gives up": ("malformed", [CONNECT, publish(PUBCOMPS[:40_000], b"a/#")]),
    "a length that is none": ("not MQTT", [CONNECT, b"\x30\xff\xff\xff\xff\x7f"]),
    "a packet that only a server sends": ("not MQTT", [CONNECT, b"\x20\x02\x00\x00"]),
    "HTTP": ("not MQTT", [b"GET /"]),
    "TLS": ("not MQTT", [b"\x16\x03\x01"]),
    "another protocol's CONNECT": ("not MQTT", [b"\x10\x0c\x00\x04ABCD\x04\x02\x00\x3c\x00\x00"]),
    "an empty CONNECT": ("not MQTT", [b"\x10\x00"]),
    "a CONNECT that ends too early": ("malformed", [b"\x10\x07\x00\x04MQTT\x04"]),
}


@pytest.mark.parametrize("case", ENDED)
async def test_what_is_no_mqtt_or_too_much_ends_the_connection_at_once(
    listening: tuple[RunningHub, int], case: str
) -> None:
    hub, port = listening
    reason, parts = ENDED[case]
    began = time.monotonic()
    got = await in_thread(until_closed, port, *parts)
    assert time.monotonic() - began < 5
    assert got[:4] == (b"\x20\x02\x00\x00" if parts[0] is CONNECT else b"")
    await hub.until(lambda: hub.metric("provision_listener_refused_total", reason=reason) == 1)
    (line,) = hub.lines("provision.listener.refused")
    assert (line["level"], line["reason"], line["ip"]) == ("warning", reason, "127.0.0.1")
    assert hub.lines("log") == [], "amqtt says nothing of what a client sends"


async def test_other_versions_of_mqtt_are_told_that_they_are_not_spoken(listening: tuple[RunningHub, int]) -> None:
    hub, port = listening
    five = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00"
    three_one = b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a"
    assert await in_thread(until_closed, port, five) == b"\x20\x03\x00\x84\x00"
    assert await in_thread(until_closed, port, three_one) == b"\x20\x02\x00\x01"
    codes: list[Any] = []

    def paho_5() -> None:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.on_connect = lambda _c, _u, _f, code, _p: codes.append(code.value)
        client.connect("127.0.0.1", port)
        client.loop_start()
        deadline = time.monotonic() + 10
        while not codes and time.monotonic() < deadline:
            time.sleep(0.01)
        client.loop_stop()

    await in_thread(paho_5)
    assert codes[0] == 0x84
    assert hub.metric("provision_listener_refused_total", reason="protocol version") >= 3


async def test_the_log_does_not_grow_with_what_clients_do(listening: tuple[RunningHub, int]) -> None:
    hub, port = listening

    def work() -> None:
        for _ in range(100):
            until_closed(port, b"GET /")

    await in_thread(work)
    assert hub.metric("provision_listener_refused_total", reason="not MQTT") == 100
    assert 10 <= len(hub.lines("provision.listener.refused")) <= 12
