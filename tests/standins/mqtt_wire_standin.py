"""The bytes of MQTT 3.1.1 for test servers: enough to misbehave on purpose at any packet, which no broker can."""

import asyncio
import struct
from dataclasses import dataclass

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = (
    1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14,
)  # fmt: skip


class WireError(Exception):
    """The client sent what is not MQTT 3.1.1."""


@dataclass(frozen=True)
class Packet:
    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True)
class Connect:
    client_id: str
    username: str | None
    password: str | None
    will: tuple[str, bytes] | None


@dataclass(frozen=True)
class Publish:
    topic: str
    payload: bytes
    qos: int
    packet_id: int
    retain: bool


async def read_packet(reader: asyncio.StreamReader, limit: int) -> Packet:
    """The next packet; raises WireError when it is larger than the limit, IncompleteReadError at the end."""
    first = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            break
        if shift > 21:
            raise WireError("remaining length")
    if length > limit:
        raise WireError("packet too large")
    return Packet(first >> 4, first & 15, await reader.readexactly(length))


def pack(kind: int, body: bytes, flags: int = 0) -> bytes:
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (128 if length else 0))
        if not length:
            return bytes([kind << 4 | flags]) + bytes(digits) + body


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("!H", len(data)) + data


def publish(topic: str, payload: bytes, qos: int, packet_id: int, *, retain: bool = False) -> bytes:
    number = struct.pack("!H", packet_id) if qos else b""
    return pack(PUBLISH, text(topic) + number + payload, qos << 1 | retain)


def connack(code: int) -> bytes:
    return pack(CONNACK, bytes([0, code]))


class _Body:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise WireError("packet too short")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def blob(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        return self.blob().decode()

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)


def parse_connect(packet: Packet) -> Connect:
    body = _Body(packet.body)
    if packet.kind != CONNECT or body.text() != "MQTT" or body.take(1) != b"\x04":
        raise WireError("not MQTT 3.1.1")
    flags = body.take(1)[0]
    body.number()
    client_id = body.text()
    will = (body.text(), body.blob()) if flags & 4 else None
    username = body.text() if flags & 128 else None
    return Connect(client_id, username, body.text() if flags & 64 else None, will)


def parse_publish(packet: Packet) -> Publish:
    body = _Body(packet.body)
    qos = packet.flags >> 1 & 3
    topic = body.text()
    return Publish(
        topic, qos=qos, packet_id=body.number() if qos else 0, payload=body.rest(), retain=bool(packet.flags & 1)
    )


def parse_subscribe(packet: Packet) -> tuple[int, list[tuple[str, int]]]:
    body = _Body(packet.body)
    packet_id, topics = body.number(), []
    while body.at < len(body.data):
        topics.append((body.text(), body.take(1)[0]))
    return packet_id, topics
