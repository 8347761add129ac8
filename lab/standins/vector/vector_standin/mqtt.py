"""The `mqtt` source, with Vector's faults, which come from its client library (rumqttc 0.24):

- it subscribes once: when the broker has lost the session, it stays connected and receives nothing, without a word;
- it acknowledges messages to the broker before they are in any sink's buffer, so that those on their way are lost when
  it is killed. Vector does so when it has read them, and its transforms then take microseconds. Here they take
  milliseconds (VRL is compiled for every batch), so the acknowledgement is sent after them: as little is lost;
- a packet bigger than `max_packet_size` ends the connection unacknowledged, so that at QoS 1 it comes again for ever;
- it reconnects at once (here: after 50 ms), and says nothing of failures.
"""

import threading
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from vector_standin.event import Log
from vector_standin.telemetry import Component, sent_on
from vector_standin.topology import Topology, deliver

PAUSE_SECONDS = 0.05
LINGER_SECONDS = 0.05
FEW, MOST = 20, 1000


class MqttSource:
    """Emits each message as a log with `message`, `source_type` and the topic; it sets no timestamp, as in Vector."""

    def __init__(self, config: dict[str, Any], component: Component, topology: Topology) -> None:
        self._config, self._component, self._topology = config, component, topology
        self._stop = threading.Event()
        self._subscribed = False
        self._oversize = False
        self._read: list[paho.MQTTMessage] = []
        self._backlog = False
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=config["client_id"],
            clean_session=False,
            protocol=paho.MQTTv311,
            manual_ack=True,
        )
        if config["user"] is not None:
            client.username_pw_set(config["user"], config["password"])
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        self._client = client

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if not reason.is_failure and not self._subscribed:
            self._subscribed = True
            client.subscribe([(topic, 1) for topic in self._config["topic"]])

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        size = 2 + len(message.topic.encode()) + (2 if message.qos else 0) + len(message.payload)
        self._oversize = self._oversize or size > self._config["max_packet_size"]
        if not self._oversize:
            self._read.append(message)

    def run(self) -> None:
        """Until `stop`."""
        while not self._stop.is_set():
            try:
                self._client.connect(self._config["host"], self._config["port"], self._config["keep_alive"])
                self._converse()
            except (OSError, ValueError):
                pass
            self._stop.wait(PAUSE_SECONDS)

    def _converse(self) -> None:
        """One connection: batches of what is there, a little lingering between them unless there is a backlog."""
        while not self._stop.is_set():
            result = self._client.loop(timeout=0.1)
            if self._read and not self._backlog:
                self._stop.wait(LINGER_SECONDS)
            more = -1
            while len(self._read) not in {more, MOST} and result == MQTTErrorCode.MQTT_ERR_SUCCESS:
                more = len(self._read)
                result = self._client.loop(timeout=0)
            self._backlog = len(self._read) >= FEW
            self._pass_on()
            if self._oversize:
                self._hang_up()
            if result != MQTTErrorCode.MQTT_ERR_SUCCESS or self._oversize:
                self._oversize = False
                return

    def _hang_up(self) -> None:
        """Without a word of goodbye, as a client that cannot go on does."""
        socket = self._client.socket()
        if socket is not None:
            socket.close()

    def _pass_on(self) -> None:
        """Blocks while a sink's buffer is full; the broker then hears nothing from here, not even pings."""
        messages, self._read = self._read, []
        if not messages:
            return
        size = sum(len(message.payload) for message in messages)
        self._component.add("component_received_bytes_total", size, protocol="mqtt", endpoint=self._config["host"])
        self._component.received(len(messages))
        self._component.sent(len(messages))
        deliveries = self._topology.transformed(self._component.id, [self._log(message) for message in messages])
        for message in messages:
            if message.qos:
                self._client.ack(message.mid, message.qos)
        began = time.monotonic()
        deliver(deliveries)
        sent_on(self._component, time.monotonic() - began)

    def _log(self, message: paho.MQTTMessage) -> Log:
        text = message.payload.decode(errors="replace")
        return Log({"message": text, "source_type": "mqtt", self._config["topic_key"]: message.topic})

    def stop(self) -> None:
        self._stop.set()


class InternalMetrics:
    """The `internal_metrics` source: the program's own telemetry, every so often."""

    def __init__(self, config: dict[str, Any], component: Component, topology: Topology) -> None:
        self._interval = config["scrape_interval_secs"]
        self._component, self._topology = component, topology
        self._stop = threading.Event()
        self._started = time.time()

    def run(self) -> None:
        """Until `stop`."""
        while not self._stop.wait(self._interval):
            self._component.telemetry.set("uptime_seconds", {}, round(time.time() - self._started, 3))
            metrics = self._component.telemetry.metrics()
            self._component.received(len(metrics))
            self._component.sent(len(metrics))
            began = time.monotonic()
            self._topology.emit(self._component.id, metrics)
            sent_on(self._component, time.monotonic() - began)

    def stop(self) -> None:
        self._stop.set()
