"""A hundred thousand hostile messages through a real broker: every one is counted, and the hub goes on as before."""

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx
import paho.mqtt.client as paho
import pytest
from hub_broker import Mosquitto
from hub_servers import HubProcess, admin_of, enrol, metric, stored, wait_until
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import select

from hub.store.tables import devices

pytestmark = [pytest.mark.services]
MESSAGES = 100_000
UNANSWERED = 2_000
RARE = 0.01
"""The share of those that cost megabytes on the wire or a question to the database."""
COUNTERS = ("hub_mqtt_refused_total", "provision_state_messages_total")
TOPICS = (
    "plant//state",
    "plant/a b/state",
    "plant/é/state",
    f"plant/{'x' * 200}/state",
    "plant/fern/state",
    "//run//chunk",
    "camera/c1/run/no run/chunk",
    "camera/c1/run/run-1/chunk",
    "camera/c1/run/run-1/result",
)
NO_OBJECTS = (
    b"",
    b"[]",
    b"null",
    b"{",
    b"\xff\xfe",
    b'"x"',
    b'{"a":NaN}',
    b'{"a":1,"a":',
    b'{"outcome":"ok\x00"}',
    b"[" * 5000,
)
NO_CHUNKS = (*NO_OBJECTS, b'{"seq":-1,"data":"x"}', b'{"seq":1e999,"data":"x"}', b'{"seq":1}', b'{"outcome":"perhaps"}')
COSTLY = (b"{}" + b" " * 70_000, b'{"seq":1,"data":"x"}', b'{"outcome":"ok"}')


def hostile(dice: random.Random) -> Iterator[tuple[str, bytes, int]]:
    """Topic, payload and QoS of each message. None of them is a state, a chunk or a result that there can be."""
    for _ in range(MESSAGES):
        topic = dice.choice(TOPICS)
        others = COSTLY if dice.random() < RARE else NO_CHUNKS
        payloads = NO_OBJECTS if topic == "plant/fern/state" else others
        yield topic, dice.choice(payloads), dice.randrange(2)


def publish(port: int, dice: random.Random) -> dict[int, int]:
    """Publish them all; by QoS how many left, those of QoS 1 acknowledged."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(UNANSWERED)
    client.connect("127.0.0.1", port)
    client.loop_start()
    wait_until("the publisher is connected", client.is_connected)
    sent = {0: 0, 1: 0}
    messages = hostile(dice)
    while group := [(qos, client.publish(topic, payload, qos)) for topic, payload, qos in islice(messages, UNANSWERED)]:
        for qos, message in group:
            message.wait_for_publish(60)
            sent[qos] += message.is_published()
    client.disconnect()
    client.loop_stop()
    return sent


def test_a_hundred_thousand_hostile_messages_are_counted_and_harm_nothing(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/hub.db"
    broker = Mosquitto(tmp_path, "allow_anonymous true\nmax_queued_messages 0")
    broker.start()
    try:
        with HubProcess(tmp_path, database, HUB_MQTT_URL=broker.url) as hub, admin_of(hub) as client:
            wait_until("the hub is at its broker", lambda: metric(client, "hub_mqtt_connected") == 1)
            device, before = enrol(client, "tablet-1"), hub.megabytes()
            sent = publish(broker.port, random.Random(7))
            assert min(sent.values()) > 0.4 * MESSAGES
            assert sum(sent.values()) == MESSAGES
            wait_until("all are counted", lambda: counted(client) >= MESSAGES)
            assert counted(client) == MESSAGES
            assert metric(client, 'hub_mqtt_refused_total{reason="error"}') == 0
            assert client.get("/metrics").text.count("hub_mqtt_refused_total{") < 12
            assert hub.megabytes() - before < 100
            assert client.post("/v1/heartbeat", json={"status": "ok"}, headers=device).status_code == 200
            broker.publish("plant/fern/state", b'{"moisture": 41}')
            wait_until("a good one is taken", lambda: metric(client, "provision_state_messages_total") == 1)
            wait_until("and stored", lambda: "fern" in known(database))
            assert known(database) == {"fern", "tablet-1"}, "no hostile message made a device"
    finally:
        broker.stop()


def counted(client: httpx.Client) -> float:
    return sum(metric(client, name) for name in COUNTERS)


def known(database: str) -> set[str]:
    return {row[0] for row in stored(database, select(devices.c.device_id))}
