"""The provisioning-only MQTT listener, on amqtt: it knows one question and answers it to who asked, nobody else.

The methods that begin with an underscore are amqtt's own (0.12), overridden: its plug-ins hear only client ids, and two
devices may use the same one. Here every connection has a session of its own, without last will, retained messages,
broadcasts or memory of an earlier one.
"""

import asyncio
import contextlib
import functools
import json
import ssl
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

import structlog
from amqtt.adapters import ReaderAdapter, StreamReaderAdapter, StreamWriterAdapter, WriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import Action, BrokerConfig, ListenerConfig, ListenerType
from amqtt.errors import AMQTTError, MQTTError, NoDataError
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.session import Session
from amqtt.utils import gen_client_id

from hub.context import RequestContext, current
from hub.ids import new_request_id
from hub.thingsboard.provision import failure, provision
from hub.thingsboard.request import MAX_BYTES

if TYPE_CHECKING:
    from hub.service import Hub

log = structlog.get_logger()
REQUEST: Final = "/provision/request"
RESPONSE: Final = "/provision/response"
USER: Final = "provision"
SESSION_SECONDS: Final = 60.0
CONNECTIONS: Final = 4_000
BACKLOG: Final = 2_048
"""Connections that may wait to be accepted: a fleet that gets its power back comes all at once."""
HEADER_BYTES: Final = 512
Ask = Callable[[bytes, str, str], Any]


class _Limited(StreamReaderAdapter):  # type: ignore[misc]
    """A packet that says it is larger than any request can be ends the connection."""

    async def read(self, n: int = -1) -> bytes:
        if n > MAX_BYTES + 2 * HEADER_BYTES:
            raise NoDataError("a packet is too large")
        data: bytes = await super().read(n)
        return data


class ProvisionBroker(Broker):  # type: ignore[misc]
    """`ask(payload, peer, request id)` makes the answer."""

    def __init__(self, config: BrokerConfig, ask: Ask) -> None:
        super().__init__(config)
        self._ask = ask
        self._open = 0
        self._welcome: set[str] = set()

    async def _create_server_instance(
        self, listener_name: str, _: ListenerType, address: str | None, port: int, ssl_context: ssl.SSLContext | None
    ) -> asyncio.Server:
        connected = functools.partial(self.stream_connected, listener_name=listener_name)
        return await asyncio.start_server(connected, address, port, ssl=ssl_context, backlog=BACKLOG)

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Serve a connection, for a minute at most."""
        adapter = StreamWriterAdapter(writer)
        if self._open >= CONNECTIONS:
            await adapter.close()
            return
        self._open += 1
        try:
            async with asyncio.timeout(SESSION_SECONDS):
                await self._client_connected(listener_name, _Limited(reader), adapter)
        except (TimeoutError, OSError, AMQTTError, MQTTError, NoDataError, asyncio.IncompleteReadError):
            pass
        except Exception as error:
            log.warning("provision.listener.bad_client", reason=f"{type(error).__name__}: {error}"[:200])
        finally:
            self._open -= 1
            with contextlib.suppress(Exception):
                writer.close()

    async def _initialize_client_session(
        self, reader: ReaderAdapter, writer: WriterAdapter, remote_address: str, remote_port: int
    ) -> tuple[BrokerProtocolHandler, Session]:
        handler, session = await super()._initialize_client_session(reader, writer, remote_address, remote_port)
        welcome = USER in {session.username, session.client_id}
        session.client_id = gen_client_id() + new_request_id()
        session.clean_session = True
        session.will_flag = False
        session.parent = 0
        if welcome:
            self._welcome.add(session.client_id)
        return handler, session

    async def _handle_client_session(self, *args: Any, **kwargs: Any) -> None:
        session: Session = args[2]
        try:
            await super()._handle_client_session(*args, **kwargs)
        finally:
            self._welcome.discard(session.client_id or "")
            await self._delete_session(session.client_id or "")

    async def _authenticate(self, session: Session, _: ListenerConfig) -> bool:
        return session.client_id in self._welcome

    async def _topic_filtering(self, session: Session, topic: str, action: Action) -> bool:
        return action is Action.SUBSCRIBE and topic == RESPONSE

    async def _handle_message_delivery(
        self, client_session: Session, handler: BrokerProtocolHandler, wait_deliver: "asyncio.Future[Any]"
    ) -> bool:
        message = wait_deliver.result()
        if message is None:
            return True
        qos = next((q for s, q in self._subscriptions.get(RESPONSE, []) if s is client_session), None)
        if message.topic != REQUEST or qos is None:
            return False
        answer = await self._ask(bytes(message.data), str(client_session.remote_address), new_request_id())
        try:
            await handler.mqtt_publish(RESPONSE, json.dumps(answer).encode(), qos, retain=False, ack_timeout=5)
        except (TimeoutError, AMQTTError, OSError):
            return False
        return True


@contextlib.asynccontextmanager
async def listener(hub: "Hub") -> AsyncIterator[None]:
    """The listener, when the settings name a port for it."""
    chosen = hub.settings
    if chosen.provision_port is None:
        yield
        return
    tls: dict[str, Any] = {"ssl": True, "certfile": chosen.tls_cert, "keyfile": chosen.tls_key}
    bind = f"{chosen.provision_host}:{chosen.provision_port}"
    config = BrokerConfig(listeners={"default": ListenerConfig(bind=bind, **(tls if chosen.provision_tls else {}))})
    config.plugins = {}

    async def ask(payload: bytes, peer: str, request_id: str) -> dict[str, Any]:
        token = current.set(RequestContext(request_id, route="mqtt:/provision/request", ip=peer, answered=True))
        try:
            if len(payload) > MAX_BYTES:
                return failure(f"Failed to provision device! the request has more than {MAX_BYTES} bytes.")
            return await provision(hub, payload, "mqtt", peer, request_id)
        finally:
            current.reset(token)

    broker = ProvisionBroker(config, ask)
    await broker.start()
    try:
        yield
    finally:
        await broker.shutdown()
