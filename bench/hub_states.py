"""State messages a second, beside a bare aiomqtt loop at a broker of the same kind."""

import asyncio
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bench import hub_site
from bench.table import Row

STATES = 4_000
STATE = b'{"moisture": 41, "temperature": 20}'


def _publish(port: int, count: int) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for n in range(count):
        last = client.publish(f"plant/p{n % 50}/state", STATE, qos=1)
    last.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


async def states(folder: Path) -> list[Row]:
    return await asyncio.to_thread(_states, folder)


def _states(folder: Path) -> list[Row]:
    """The reader is held still while its broker takes the messages; then they come as fast as it reads."""
    ours, theirs = [], []
    with ExitStack() as stack:
        brokers = [stack.enter_context(hub_site.broker(folder / name)) for name in ("ours", "theirs")]
        hub = stack.enter_context(hub_site.hub(folder, HUB_MQTT_URL=brokers[0].url))
        client = stack.enter_context(hub_site.admin_of(hub))
        _, bare = stack.enter_context(hub_site.peer("states", folder, brokers[1].port))
        hub_site.wait_until("the hub is at its broker", lambda: hub_site.metric(client, "hub_mqtt_connected") == 1)
        told: deque[int] = deque([-1], maxlen=1)
        threading.Thread(target=lambda: told.extend(int(line) for line in bare.stdout or ()), daemon=True).start()
        hub_site.wait_until("the bare loop is at its broker", lambda: told[0] == 0)
        time.sleep(1)

        def hub_heard() -> float:
            return hub_site.metric(client, "provision_state_messages_total")

        def bare_heard() -> float:
            return told[0]

        for upto in range(STATES, 3 * STATES + 1, STATES):
            ours.append(_rate(brokers[0].port, hub.process, hub_heard, upto))
            theirs.append(_rate(brokers[1].port, bare, bare_heard, upto))
        lost = hub_site.metric(client, "hub_mqtt_refused_total")
    if lost:
        raise RuntimeError(f"the hub refused {lost:.0f} state messages")
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    ratio = statistics.median(ratios)
    shown = f"{ratio:.0%} ({ratios[0]:.0%} to {ratios[-1]:.0%})"
    mine, other = statistics.median(ours), statistics.median(theirs)
    return [Row("state messages", f"{mine:.0f}/s", f"bare aiomqtt {other:.0f}/s", shown, "60 %", ratio >= 0.6)]


def _rate(port: int, process: Any, heard: Callable[[], float], upto: int) -> float:
    with hub_site.stopped(process):
        _publish(port, STATES)
    began, deadline = time.monotonic(), time.monotonic() + 60
    while heard() < upto:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{upto - heard():.0f} state messages were not heard")
        time.sleep(0.05)
    return STATES / (time.monotonic() - began)
