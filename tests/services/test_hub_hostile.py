"""A hundred thousand messages through a real broker, most of them hostile: each is counted, the good are stored."""

import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
from hub_broker import Mosquitto
from hub_servers import HubProcess, admin_of, enrol, metric, stored, wait_until
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import select

from hub.store.tables import devices, run_chunks, runs

pytestmark = [pytest.mark.services]
MESSAGES = 100_000
UNANSWERED = 2_000
QUEUE = 5_000
"""So many may wait in the hub, which drops what comes when 10,000 wait."""
RARE = 0.01
"""The share of those that cost megabytes on the wire."""
VALID = 0.1
"""The share of those that are chunks and results as they should be, half of them of a run that there is."""
RUN = "tablet/tablet-1/run/streams"
COUNTERS = ("hub_mqtt_refused_total", "provision_state_messages_total", "run_chunks_total")
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
LARGE = b"{}" + b" " * 70_000
OF_NO_RUN = (("chunk", b'{"seq":1,"data":"x"}'), ("result", b'{"outcome":"ok"}'))


def messages(dice: random.Random) -> Iterator[tuple[str, bytes, int]]:
    """Topic, payload and QoS of each. The good ones are numbered pieces of output of RUN; no other can be taken."""
    for number in range(MESSAGES):
        topic, share = dice.choice(TOPICS), dice.random()
        if share < VALID / 2:
            topic, payload = f"{RUN}/chunk", b'{"seq":%d,"data":"x"}' % number
        elif share < VALID:
            end, payload = dice.choice(OF_NO_RUN)
            topic = f"camera/c1/run/run-1/{end}"
        elif share < VALID + RARE:
            payload = LARGE
        else:
            payload = dice.choice(NO_OBJECTS if topic == "plant/fern/state" else NO_CHUNKS)
        yield topic, payload, dice.randrange(2)


def publish(port: int, dice: random.Random, behind: Callable[[int], Any]) -> dict[int, int]:
    """Publish them all; by QoS how many left, those of QoS 1 acknowledged. `behind` is told how many left so far."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(UNANSWERED)
    client.connect("127.0.0.1", port)
    client.loop_start()
    wait_until("the publisher is connected", client.is_connected)
    sent = {0: 0, 1: 0}
    some = messages(dice)
    while group := [(qos, client.publish(topic, payload, qos)) for topic, payload, qos in islice(some, UNANSWERED)]:
        for qos, message in group:
            message.wait_for_publish(60)
            sent[qos] += message.is_published()
        behind(sum(sent.values()))
    client.disconnect()
    client.loop_stop()
    return sent


def test_a_hundred_thousand_messages_are_counted_the_good_ones_stored_and_the_others_harm_nothing(
    tmp_path: Path,
) -> None:
    database = f"sqlite:///{tmp_path}/hub.db"
    broker = Mosquitto(tmp_path, "allow_anonymous true\nmax_queued_messages 0")
    broker.start()
    try:
        with HubProcess(tmp_path, database, HUB_MQTT_URL=broker.url) as hub, admin_of(hub) as client:
            wait_until("the hub is at its broker", lambda: metric(client, "hub_mqtt_connected") == 1)
            device, before = enrol(client, "tablet-1"), hub.megabytes()
            body = {"device_id": "tablet-1", "action": "log", "protocol": "mqtt", "request_id": "streams"}
            client.post("/admin/command", json=body).raise_for_status()
            good = {n for n, sent in enumerate(messages(random.Random(7))) if sent[0] == f"{RUN}/chunk"}
            assert len(good) > 0.4 * VALID * MESSAGES

            def behind(left: int) -> None:
                """A hub that is behind by more than its queue drops good ones as well; that is not what is tested."""
                wait_until("it keeps up", lambda: counted(client) > left - QUEUE)

            sent = publish(broker.port, random.Random(7), behind)
            assert min(sent.values()) > 0.4 * MESSAGES
            assert sum(sent.values()) == MESSAGES
            wait_until("all are counted", lambda: counted(client) >= MESSAGES)
            assert counted(client) == MESSAGES
            assert metric(client, 'hub_mqtt_refused_total{reason="error"}') == 0
            assert metric(client, 'hub_mqtt_refused_total{reason="queue full"}') == 0
            assert metric(client, 'hub_mqtt_refused_total{reason="not_found"}') > 0.4 * VALID * MESSAGES
            broker.publish(f"{RUN}/result", b'{"outcome":"ok"}')
            wait_until("the run ends", lambda: stored(database, select(runs.c.status)) == [("ok",)])
            assert {row[0] for row in stored(database, select(run_chunks.c.seq))} == good
            assert stored(database, select(runs.c.chunks, runs.c.bytes)) == [(len(good), len(good))]
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
