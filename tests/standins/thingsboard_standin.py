"""A stand-in for ThingsBoard's MQTT transport: device provisioning and device logins as its server does them.

Silences included. It lives in a thread of the test; what it has not got it refuses by closing the connection.

`hook(moment)` is called before each step and may return an action: "cut" closes this connection, "silent" stops talking
on it, "restart" closes all of them and refuses new ones for `down` seconds, bytes are sent; a tuple is several of them.
"""

import asyncio
import contextlib
import json
import re
import secrets
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from standins import mqtt_wire_standin as wire

LIMIT = 65536
RESPONSE = "/provision/response"
NOT_FOUND = {"errorMsg": "Provision data was not found!", "status": "NOT_FOUND"}
FAILURE = {"errorMsg": "Failed to provision device!", "status": "FAILURE"}
MOMENTS = ("connect", "connack", "subscribe", "suback", "request", "committed", "puback", "answer", "answered",
           "device-connect", "device-connack")  # fmt: skip


class Cut(Exception):
    """Close this connection now."""


@dataclass
class Device:
    name: str
    type: str
    value: Any


@dataclass(eq=False)
class Connection:
    """One client; `device` is set once it logged in as one."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    client_id: str = ""
    device: Device | None = None
    provisioning: bool = False
    subscribed: dict[str, int] = field(default_factory=dict)


class Sample(NamedTuple):
    """One moment of a device as it is stored: `ts` in ms, of the message or else of its arrival; values by series."""

    device: str
    ts: int
    values: dict[str, Any]


class ThingsboardStandin:
    """Keys are {provision key: secret}; devices by name. Everything public may be read by the test at any time."""

    def __init__(self, keys: dict[str, str], tls: ssl.SSLContext | None = None) -> None:
        self.keys = keys
        self.tls = tls
        self.devices: dict[str, Device] = {}
        self.requests: list[dict[str, Any]] = []
        self.published: list[tuple[str, str, bytes]] = []
        self.telemetry: list[Sample] = []
        self.unsupported: list[str] = []
        self.hook: Callable[[str], object] = lambda moment: None
        self.down = 0.05
        self.port = 0
        self._connections: set[Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> "ThingsboardStandin":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def reset(self) -> None:
        """Forget devices and requests, as for a new test."""
        self.devices.clear()
        self.requests.clear()
        self.published.clear()
        self.telemetry.clear()

    def send(self, name: str, topic: str, payload: bytes) -> None:
        """Publish to the device's own connection when it subscribed a fitting filter (a last `+` matches a level)."""

        def deliver() -> None:
            for connection in list(self._connections):
                if (
                    connection.device
                    and connection.device.name == name
                    and any(re.fullmatch(re.escape(f).replace(r"\+", "[^/]+"), topic) for f in connection.subscribed)
                ):
                    connection.writer.write(wire.publish(topic, payload, 0, 0))

        self._loop.call_soon_threadsafe(deliver)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self.tls, limit=2 * LIMIT, backlog=2048
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server:
            self._server.close()
        for connection in list(self._connections):
            connection.writer.transport.abort()
        await asyncio.sleep(0)

    async def _restart(self) -> None:
        await self._close()
        await asyncio.sleep(self.down)
        await self._listen()

    async def _moment(self, moment: str, connection: Connection) -> None:
        await self._act(self.hook(moment), connection)

    async def _act(self, action: object, connection: Connection) -> None:
        match action:
            case None:
                return
            case tuple():
                for one in action:
                    await self._act(one, connection)
            case bytes() as extra:
                connection.writer.write(extra)
                await connection.writer.drain()
            case "cut":
                raise Cut
            case "silent":
                await connection.reader.read()
                raise Cut
            case "restart":
                self._restarting = asyncio.ensure_future(self._restart())
                raise Cut
            case other:
                raise AssertionError(f"no such action: {other}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        try:
            if await self._login(connection):
                self._connections.add(connection)
                while (packet := await wire.read_packet(reader, 2 * LIMIT)).kind != wire.DISCONNECT:
                    await self._packet(packet, connection)
        except (Cut, wire.WireError, asyncio.IncompleteReadError, ConnectionError, UnicodeDecodeError):
            pass
        finally:
            self._connections.discard(connection)
            writer.transport.abort()

    async def _login(self, connection: Connection) -> bool:
        connect = wire.parse_connect(await wire.read_packet(connection.reader, 2 * LIMIT))
        connection.client_id = connect.client_id
        connection.provisioning = "provision" in (connect.username, connect.client_id)
        side = "" if connection.provisioning else "device-"
        await self._moment(f"{side}connect", connection)
        if not connection.provisioning:
            connection.device = self._device(connect, connection.writer)
        await self._moment(f"{side}connack", connection)
        known = connection.provisioning or connection.device is not None
        connection.writer.write(wire.connack(0 if known else 5))
        with contextlib.suppress(ConnectionError):
            await connection.writer.drain()
        return known

    def _device(self, connect: wire.Connect, writer: asyncio.StreamWriter) -> Device | None:
        peer = writer.get_extra_info("ssl_object")
        shown = peer.getpeercert(binary_form=True) if peer else None
        for device in self.devices.values():
            match device.type:
                case "ACCESS_TOKEN":
                    fits = connect.username == device.value
                case "MQTT_BASIC":
                    shape = {"clientId": connect.client_id, "userName": connect.username, "password": connect.password}
                    fits = all(shape[key] == value for key, value in device.value.items() if value)
                case _:
                    fits = shown is not None and _trimmed(ssl.DER_cert_to_PEM_cert(shown)) == device.value
            if fits:
                return device
        return None

    async def _packet(self, packet: wire.Packet, connection: Connection) -> None:
        match packet.kind:
            case wire.PINGREQ:
                connection.writer.write(wire.pack(wire.PINGRESP, b""))
            case wire.SUBSCRIBE:
                await self._subscribe(packet, connection)
            case wire.PUBLISH:
                message = wire.parse_publish(packet)
                if connection.provisioning:
                    await self._provision(message, connection)
                else:
                    await self._take(message, connection)
            case wire.PUBACK:
                pass
            case _:
                raise Cut

    async def _subscribe(self, packet: wire.Packet, connection: Connection) -> None:
        await self._moment("subscribe", connection)
        number, topics = wire.parse_subscribe(packet)
        codes = bytearray()
        for topic, qos in topics:
            allowed = topic == RESPONSE if connection.provisioning else topic.startswith("v1/devices/me/")
            codes.append(min(qos, 1) if allowed else 0x80)
            if allowed:
                connection.subscribed[topic] = min(qos, 1)
            else:
                self.unsupported.append(topic)
        await self._moment("suback", connection)
        connection.writer.write(wire.pack(wire.SUBACK, struct.pack("!H", number) + codes))

    async def _take(self, message: wire.Publish, connection: Connection) -> None:
        known = re.fullmatch(r"v1/devices/me/(telemetry|attributes|rpc/response/[^/]+)", message.topic)
        if not known or connection.device is None:
            self.unsupported.append(message.topic)
            raise Cut
        await self._moment("device-publish", connection)
        name = connection.device.name
        try:
            self.telemetry += _stored(name, message)
        except (TypeError, ValueError) as error:
            self.unsupported.append(f"{message.topic}: {error}")
            raise Cut from error
        self.published.append((name, message.topic, message.payload))
        await self._moment("device-puback", connection)
        if message.qos:
            connection.writer.write(wire.pack(wire.PUBACK, struct.pack("!H", message.packet_id)))

    async def _provision(self, message: wire.Publish, connection: Connection) -> None:
        await self._moment("request", connection)
        if message.topic != "/provision/request" or len(message.payload) > LIMIT:
            raise Cut
        answer = self.answer(message.payload)
        await self._moment("committed", connection)
        if answer is None:
            raise Cut
        await self._moment("puback", connection)
        if message.qos:
            connection.writer.write(wire.pack(wire.PUBACK, struct.pack("!H", message.packet_id)))
        await self._moment("answer", connection)
        if RESPONSE in connection.subscribed:
            payload = json.dumps(answer).encode()
            connection.writer.write(wire.publish(RESPONSE, payload, connection.subscribed[RESPONSE], 1))
            await connection.writer.drain()
        await self._moment("answered", connection)

    def answer(self, payload: bytes) -> dict[str, Any] | None:
        """What ThingsBoard answers to a request; None is its silence."""
        try:
            values = json.loads(payload)
        except ValueError:
            return None
        if not isinstance(values, dict) or not _understood(values):
            return None
        kind = values.get("credentialsType", "ACCESS_TOKEN")
        self.requests.append(values)
        if self.keys.get(values["provisionDeviceKey"]) != values["provisionDeviceSecret"]:
            return NOT_FOUND
        name = values.get("deviceName", secrets.token_hex(10)).strip()
        if not name or name in self.devices:
            return FAILURE
        value = _credentials(kind, values)
        if value is None or any(d.value == value for d in self.devices.values()):
            return FAILURE
        self.devices[name] = Device(name, kind, value)
        return {"credentialsType": kind, "credentialsValue": value, "status": "SUCCESS"}


def _stored(device: str, message: wire.Publish) -> list[Sample]:
    """What telemetry stores: of an object that has `ts` and `values` those, of any other all of it, as of now.

    Raises TypeError and ValueError for what is no telemetry, or no attributes.
    """
    if "/rpc/" in message.topic:
        return []
    told = json.loads(message.payload)
    telemetry = message.topic.endswith("/telemetry")
    objects = told if telemetry and isinstance(told, list) else [told]
    if not all(isinstance(one, dict) for one in objects):
        raise TypeError("not an object")
    samples = []
    for one in objects if telemetry else []:
        ts, values = (one["ts"], one["values"]) if {"ts", "values"} <= one.keys() else (time.time() * 1000, one)
        if not isinstance(values, dict):
            raise TypeError("values are not an object")
        samples.append(Sample(device, int(ts), {key: value for key, value in values.items() if value is not None}))
    return samples


def _understood(values: dict[str, Any]) -> bool:
    strings = {"deviceName", "provisionDeviceKey", "provisionDeviceSecret", "token", "clientId", "username", "password",
               "hash"}  # fmt: skip
    return (
        all(isinstance(values[key], str) for key in strings & values.keys())
        and values.get("credentialsType", "ACCESS_TOKEN") in ("ACCESS_TOKEN", "MQTT_BASIC", "X509_CERTIFICATE")
        and bool(values.get("provisionDeviceKey") and values.get("provisionDeviceSecret"))
    )


def _credentials(kind: str, values: dict[str, Any]) -> Any:
    match kind:
        case "ACCESS_TOKEN":
            return values.get("token") or secrets.token_hex(10)
        case "MQTT_BASIC":
            if not values.get("clientId") and not values.get("username"):
                return None
            names = {"clientId": "clientId", "userName": "username", "password": "password"}
            return {out: values.get(given) for out, given in names.items()}
        case _:
            return _trimmed(values["hash"]) if values.get("hash") else None


def _trimmed(pem: str) -> str:
    return re.sub(r"-----(BEGIN|END) CERTIFICATE-----|\s", "", pem)
