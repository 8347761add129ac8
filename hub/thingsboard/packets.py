"""Whole MQTT packets off a connection; who sends what is none is cut off.

amqtt itself would read on in the middle of it, and take what is in a message for packets.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from amqtt.adapters import BufferReader, WriterAdapter
from amqtt.errors import AMQTTError
from amqtt.mqtt import packet_class
from amqtt.mqtt.packet import CONNECT, MQTTFixedHeader
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.session import Session

from hub.thingsboard.request import MAX_BYTES

HEADER_BYTES: Final = 512
MOST_BYTES: Final = MAX_BYTES + 2 * HEADER_BYTES
MOST_PACKETS: Final = 100
"""Of a connection; provisioning takes five."""
FIRST: Final = CONNECT << 4
NAMES: Final = ((b"\0\4MQTT", None), (b"\0\6MQIsdp", 3))
"""How a CONNECT begins, and its protocol level, None: the next byte."""
LEVEL: Final = 4
"""MQTT 3.1.1"""
UNSUPPORTED: Final = b"\x20\x02\x00\x01"
UNSUPPORTED_5: Final = b"\x20\x03\x00\x84\x00"
HANDLERS: Final = {
    3: "handle_publish",
    4: "handle_puback",
    5: "handle_pubrec",
    6: "handle_pubrel",
    7: "handle_pubcomp",
    8: "handle_subscribe",
    10: "handle_unsubscribe",
    12: "handle_pingreq",
    14: "handle_disconnect",
}
"""What a client may send after its CONNECT."""


class NotServed(AMQTTError):  # type: ignore[misc]
    """The connection ends; the argument is a short reason with few values."""


async def read_packet(reader: asyncio.StreamReader, may_begin: Callable[[int], bool]) -> tuple[int, bytes]:
    """The first byte of a packet, and what comes after its length. Raises NotServed, IncompleteReadError, OSError."""
    (first,) = await reader.readexactly(1)
    if not may_begin(first):
        raise NotServed("not MQTT")
    length = 0
    for shift in (0, 7, 14, 21):
        (byte,) = await reader.readexactly(1)
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    else:
        raise NotServed("not MQTT")
    if length > MOST_BYTES:
        raise NotServed("too large")
    return first, await reader.readexactly(length)


class Handler(BrokerProtocolHandler):  # type: ignore[misc]
    """amqtt's, with a reader that ends the connection at the first packet that is none, or too many.

    `refused(reason, address)` is told so.
    """

    refused: Callable[[str, str], None]

    async def _reader_loop(self) -> None:
        tasks: list[asyncio.Task[None]] = []
        peer = str(self.session.remote_address)
        try:
            self._reader_ready.set()
            await self._read_all(tasks)
        except NotServed as error:
            self.refused(str(error), peer)
        except (asyncio.IncompleteReadError, OSError, TimeoutError):
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.handle_connection_closed()
            self._reader_stopped.set()
            await self.stop()

    async def _read_all(self, tasks: list["asyncio.Task[None]"]) -> None:
        for _ in range(MOST_PACKETS):
            async with asyncio.timeout(self.session.keep_alive * 1.5 or None):
                first, body = await read_packet(self.reader, lambda byte: byte >> 4 in HANDLERS)
            header = MQTTFixedHeader(first >> 4, first & 0x0F, len(body))
            with _malformed():
                packet = await packet_class(header).from_stream(BufferReader(body), fixed_header=header)
            handle: Callable[[Any], Awaitable[None]] = getattr(self, HANDLERS[first >> 4])
            tasks.append(asyncio.ensure_future(handle(packet)))
        raise NotServed("too many packets")


async def connect(reader: asyncio.StreamReader, writer: WriterAdapter, plugins: Any) -> tuple[Handler, Session]:
    """Take a CONNECT. Raises NotServed, IncompleteReadError, OSError."""
    first, body = await read_packet(reader, lambda byte: byte == FIRST)
    name, level = next((found for found in NAMES if body.startswith(found[0])), (b"", None))
    if level is None:
        level = body[len(name)] if name and len(body) > len(name) else None
    if level is None:
        raise NotServed("not MQTT")
    if level != LEVEL:
        writer.write(UNSUPPORTED_5 if level > LEVEL else UNSUPPORTED)
        raise NotServed("protocol version")
    whole = MQTTFixedHeader(first >> 4, 0, len(body)).to_bytes() + body
    with _malformed():
        handler, session = await Handler.init_from_connect(BufferReader(whole), writer, plugins)
    return handler, session


@contextlib.contextmanager
def _malformed() -> Any:
    try:
        yield
    except (OSError, asyncio.IncompleteReadError):
        raise
    except Exception as error:
        raise NotServed("malformed") from error
