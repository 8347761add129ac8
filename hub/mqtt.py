"""The link to the broker: subscriptions that survive its restarts, a bounded queue, refusals that are counted."""

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import aiomqtt
import structlog
from paho.mqtt.matcher import MQTTMatcher

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
        self._queue: asyncio.Queue[aiomqtt.Message] | None = None
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
        failures = 0
        while True:
            began = time.monotonic()
            try:
                problems["mqtt"] = "connecting to the broker"
                async with self._connection() as client:
                    problems.pop("mqtt")
                    await self._subscribe(client, problems)
                    log.info("mqtt.connected")
                    await self._receive(client)
            except (aiomqtt.MqttError, OSError) as error:
                problems["mqtt"] = f"the broker is away: {error}"
                log.warning("mqtt.disconnected", reason=str(error))
            except asyncio.CancelledError:
                raise
            except Exception as error:
                problems["mqtt"] = "the link to the broker failed; the log says why"
                log.error("mqtt.fail", exc_info=error)
            finally:
                await self._take_rest()
            failures = 0 if time.monotonic() - began > 2 * LONGEST_PAUSE else failures + 1
            await asyncio.sleep(random.uniform(0.05, min(LONGEST_PAUSE, 0.25 * 2**failures)))  # noqa: S311

    def _depth(self) -> float:
        return float(self._queue.qsize()) if self._queue is not None else 0.0

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[aiomqtt.Client]:
        url = urlsplit(self._settings.mqtt_url)
        tls = url.scheme == "mqtts"
        context = ssl.create_default_context(cafile=self._settings.mqtt_ca) if tls else None
        password = self._settings.mqtt_password.get_secret_value() or unquote(url.password or "")
        refused = self._metrics.mqtt_refused.labels("queue full")

        class Counted(asyncio.Queue[aiomqtt.Message]):
            def put_nowait(self, item: aiomqtt.Message) -> None:
                if self.full():
                    refused.inc()
                super().put_nowait(item)

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
            queue_type=Counted,
            max_queued_incoming_messages=self._settings.mqtt_queue,
            max_queued_outgoing_messages=1000,
        )
        self._queue = client._queue
        async with client:
            self._client = client
            self._metrics.mqtt_connected.set(1)
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
        if denied:
            problems["mqtt"] = f"the broker does not let the hub subscribe {', '.join(denied)}"
            log.warning("mqtt.subscription.denied", topics=denied)

    async def _receive(self, client: aiomqtt.Client) -> None:
        count = 0
        async for message in client.messages:
            await self.dispatch(message.topic.value, message.payload, bool(message.retain))
            count += 1
            if count % TURN == 0:
                await asyncio.sleep(0)

    async def _take_rest(self) -> None:
        """Take what had arrived when the connection ended: the broker was told that it did, and sends it no more."""
        while self._queue is not None and not self._queue.empty():
            message = self._queue.get_nowait()
            await self.dispatch(message.topic.value, message.payload, bool(message.retain))

    async def dispatch(self, topic: str, payload: Any, retained: bool) -> None:
        """Give a message to its handler. Never raises for what is in the message."""
        handler = next(self._handlers.iter_match(topic), None)
        try:
            if handler is None:
                raise Refusal("topic")
            if not isinstance(payload, bytes | bytearray) or len(payload) > MAX_PAYLOAD:
                raise Refusal("size")
            result = handler(topic, bytes(payload), retained)
            if asyncio.iscoroutine(result):
                await result
        except Refusal as refusal:
            self._metrics.mqtt_refused.labels(str(refusal)).inc()
            log.debug("mqtt.refused", reason=str(refusal), topic=topic[:200])
        except Exception as error:
            self._metrics.mqtt_refused.labels("error").inc()
            log.error("mqtt.message.fail", topic=topic[:200], exc_info=error)
