"""The provisioning-only MQTT listener, on amqtt: it knows one question and answers it to who asked, nobody else.

The methods that begin with an underscore are amqtt's own (0.12), overridden: its plug-ins hear only client ids, and two
devices may use the same one. Here every connection has a session of its own, without last will, retained messages,
broadcasts or memory of an earlier one.
"""

import asyncio
import contextlib
import functools
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

import structlog
from amqtt.adapters import StreamWriterAdapter, WriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import Action, BrokerConfig, ListenerConfig, ListenerType
from amqtt.errors import AMQTTError, MQTTError, NoDataError
from amqtt.session import Session
from amqtt.utils import gen_client_id

from hub.context import RequestContext, current
from hub.ids import new_request_id
from hub.limits import RateLimit
from hub.thingsboard.packets import Handler, NotServed, connect
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
LINES_PER_MINUTE: Final = 10
Ask = Callable[[bytes, str, str], Any]
Refused = Callable[[str, str], None]


class ProvisionBroker(Broker):  # type: ignore[misc]
    """`ask(payload, peer, request id)` makes the answer; `refused(reason, peer)` is told of who is cut off."""

    def __init__(self, config: BrokerConfig, ask: Ask, refused: Refused) -> None:
        super().__init__(config)
        self._ask = ask
        self._refused = refused
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
            self._refused("too many connections", _peer(writer))
            writer.close()
            return
        self._open += 1
        try:
            async with asyncio.timeout(SESSION_SECONDS):
                await self._client_connected(listener_name, reader, adapter)
        except (TimeoutError, OSError, AMQTTError, MQTTError, NoDataError):
            pass
        except Exception as error:
            self._refused(type(error).__name__, _peer(writer))
        finally:
            self._open -= 1
            with contextlib.suppress(Exception):
                writer.close()

    async def _initialize_client_session(
        self, reader: asyncio.StreamReader, writer: WriterAdapter, remote_address: str, remote_port: int
    ) -> tuple[Handler, Session]:
        try:
            handler, session = await connect(reader, writer, self.plugins_manager)
        except NotServed as error:
            self._refused(str(error), remote_address)
            raise
        except (OSError, asyncio.IncompleteReadError) as error:
            raise AMQTTError("gone") from error
        handler.refused = self._refused
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
        self, client_session: Session, handler: Handler, wait_deliver: "asyncio.Future[Any]"
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

    lines = RateLimit(LINES_PER_MINUTE)

    def refused(reason: str, peer: str) -> None:
        hub.metrics.listener_refused.labels(reason).inc()
        if not lines.take("all"):
            log.warning("provision.listener.refused", reason=reason, ip=peer)

    # It has lines for what clients send, as many as they like.
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    broker = ProvisionBroker(config, ask, refused)
    await broker.start()
    try:
        yield
    finally:
        await broker.shutdown()


def _peer(writer: asyncio.StreamWriter) -> str:
    return str((writer.get_extra_info("peername") or ("-",))[0])
