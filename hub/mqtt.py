"""The link to the broker: subscriptions that survive its restarts, a bounded queue, refusals that are counted.

A message is acknowledged when it has been taken: what is stored is on the disk by then. While the database is away
there is no acknowledgement, and the broker keeps what is more than there is room for.
"""

import asyncio
import contextlib
import functools
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import aiomqtt
import structlog
from paho.mqtt.matcher import MQTTMatcher

from hub.inbox import Arrivals, Inbox
from hub.metrics import Metrics
from hub.settings import Settings

log = structlog.get_logger()
MAX_PAYLOAD: Final = 65_536
LONGEST_PAUSE: Final = 10.0
CONNECT_SECONDS: Final = 5.0
TURN: Final = 50
"""After so many messages others have their turn on the event loop."""
Handler = Callable[[str, bytes, bool], Any]


class Refusal(Exception):
    """A message is not taken; the argument is a short reason with few values."""


class NotConnected(Exception):
    """The broker is away."""


class MqttLink:
    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._filters: list[str] = []
        self._handlers: Any = MQTTMatcher()  # type: ignore[no-untyped-call]
        self._client: aiomqtt.Client | None = None
        self._queue = self._arrivals()
        self._inbox = Inbox()
        metrics.watch("hub_mqtt_queue_messages", "MQTT messages waiting", self._depth)

    @property
    def connected(self) -> bool:
        return self._client is not None

    def on(self, topic_filter: str, handler: Handler) -> None:
        """Call `handler(topic, payload, retained)` for what comes in; it may raise Refusal, and may be a coroutine."""
        self._filters.append(topic_filter)
        self._handlers[topic_filter] = handler

    async def publish(self, topic: str, payload: bytes, timeout: float = 5.0) -> None:
        """Publish with QoS 1 and wait for the broker's acknowledgement. Raises NotConnected."""
        client = self._client
        if client is None:
            raise NotConnected("the broker is not connected")
        try:
            await client.publish(topic, payload, qos=1, timeout=timeout)
        except aiomqtt.MqttError as error:
            raise NotConnected(str(error)) from error

    async def run(self, problems: dict[str, str]) -> None:
        """Stay connected, for ever; pauses grow with full jitter while the broker is away."""
        try:
            await self._stay(problems)
        finally:
            self._inbox.abandon()

    async def _stay(self, problems: dict[str, str]) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                async with self._connection() as client:
                    await self._subscribe(client, problems)
                    self._client = client
                    self._metrics.mqtt_connected.set(1)
                    log.info("mqtt.connected")
                    await self._receive(client)
            except (aiomqtt.MqttError, OSError) as error:
                problems["mqtt"] = f"the broker is away: {error}"
                log.warning("mqtt.disconnected", reason=str(error))
            except Exception as error:
                problems["mqtt"] = "the link to the broker failed; the log says why"
                log.error("mqtt.fail", exc_info=error)
            await self._take_rest()
            failures = 0 if time.monotonic() - began > 2 * LONGEST_PAUSE else failures + 1
            await asyncio.sleep(random.uniform(0.05, min(LONGEST_PAUSE, 0.25 * 2**failures)))  # noqa: S311

    def _depth(self) -> float:
        return float(len(self._inbox) + self._queue.qsize())

    def _arrivals(self) -> Arrivals:
        return Arrivals(self._settings.mqtt_queue, self._metrics.mqtt_refused.labels("queue full").inc)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[aiomqtt.Client]:
        url = urlsplit(self._settings.mqtt_url)
        tls = url.scheme == "mqtts"
        context = ssl.create_default_context(cafile=self._settings.mqtt_ca) if tls else None
        password = self._settings.mqtt_password.get_secret_value() or unquote(url.password or "")
        client = aiomqtt.Client(
            url.hostname or "",
            url.port or (8883 if tls else 1883),
            username=unquote(url.username) if url.username else None,
            password=password or None,
            identifier=self._settings.mqtt_client_id,
            clean_session=False,
            tls_context=context,
            timeout=CONNECT_SECONDS,
            keepalive=30,
            max_queued_outgoing_messages=1000,
        )
        client._client.manual_ack_set(True)
        self._queue = client._queue = self._arrivals()
        async with client:
            try:
                yield client
            finally:
                self._client = None
                self._metrics.mqtt_connected.set(0)

    async def _subscribe(self, client: aiomqtt.Client, problems: dict[str, str]) -> None:
        denied = []
        for topic_filter in self._filters:
            codes: Any = await client.subscribe(topic_filter, qos=1, timeout=CONNECT_SECONDS)
            if any(getattr(code, "value", code) >= 128 for code in codes):
                denied.append(topic_filter)
        problems.pop("mqtt", None)
        if denied:
            problems["mqtt"] = f"the broker does not let the hub subscribe {', '.join(denied)}"
            log.warning("mqtt.subscription.denied", topics=denied)

    async def _receive(self, client: aiomqtt.Client) -> None:
        queue = self._queue
        try:
            async for message in client.messages:
                await self._take(message, client)
                for _ in range(min(TURN, queue.qsize())):
                    await self._take(queue.get_nowait(), client)  # each of `messages` costs a task
                if queue.left and queue.empty():
                    await self._inbox.finish()
                    raise aiomqtt.MqttError("more came at once than the hub holds; it asks for the rest again")
        except asyncio.CancelledError:
            await self._take_rest()
            raise

    async def _take_rest(self) -> None:
        """Take what had arrived when the connection, or the hub, ended: a broker may have lost it meanwhile."""
        while not self._queue.empty():
            await self._take(self._queue.get_nowait(), self._client)
        await self._inbox.finish()

    async def _take(self, message: aiomqtt.Message, client: aiomqtt.Client | None) -> None:
        work = self._begin(message.topic.value, message.payload, bool(message.retain))
        await self._inbox.add(functools.partial(self._acknowledge, message, client), work)

    def _acknowledge(self, message: aiomqtt.Message, client: aiomqtt.Client | None) -> None:
        if client is not None and client is self._client:
            client._client.ack(message.mid, message.qos)

    async def dispatch(self, topic: str, payload: Any, retained: bool) -> None:
        """Give a message to its handler, and return when it has been taken. Never raises for what is in it."""
        work = self._begin(topic, payload, retained)
        if work is not None:
            await work

    def _begin(self, topic: str, payload: Any, retained: bool) -> Coroutine[Any, Any, None] | None:
        """Give a message to its handler; what is left to be done, None when that is nothing."""
        with self._counted(topic):
            handler = next(self._handlers.iter_match(topic), None)
            if handler is None:
                raise Refusal("topic")
            if not isinstance(payload, bytes | bytearray) or len(payload) > MAX_PAYLOAD:
                raise Refusal("size")
            result = handler(topic, bytes(payload), retained)
            if asyncio.iscoroutine(result):
                return self._finish(topic, result)
        return None

    async def _finish(self, topic: str, work: Coroutine[Any, Any, None]) -> None:
        with self._counted(topic):
            await work

    @contextlib.contextmanager
    def _counted(self, topic: str) -> Iterator[None]:
        try:
            yield
        except Refusal as refusal:
            self._metrics.mqtt_refused.labels(str(refusal)).inc()
            log.debug("mqtt.refused", reason=str(refusal), topic=topic[:200])
        except Exception as error:
            self._metrics.mqtt_refused.labels("error").inc()
            log.error("mqtt.message.fail", topic=topic[:200], exc_info=error)
