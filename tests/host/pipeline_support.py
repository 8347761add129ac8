"""Devices that speak to a studio's broker from outside its host, and what Vector and VictoriaMetrics say of it."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as paho
import requests
from deploy_support import StudioHost
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from lab.studio_host import secret

CA = "/var/lib/sensor-pipeline/state/tls/ca.crt"
MAIN = "furnace/main/telemetry"
Sample = tuple[int, float]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def series(studio: StudioHost, selector: str, since: int = 0) -> list[dict[str, Any]]:
    """The series as stored: metric (labels), values, timestamps (ms); those with samples from `since` (ms) on."""
    url = f"http://127.0.0.1:{studio.host.port(8428)}"
    requests.get(f"{url}/internal/force_flush", timeout=10).raise_for_status()
    # For ten seconds VictoriaMetrics remembers which series a selector has found: one never asked is not known.
    new = f'{{asked!="{time.time_ns()}"}}'
    params: dict[str, str | float] = {"match[]": selector, "start": since / 1000, "extra_filters[]": new}
    answer = requests.get(f"{url}/api/v1/export", params=params, timeout=20)
    answer.raise_for_status()
    return [json.loads(line) for line in answer.text.splitlines()]


def samples(studio: StudioHost, selector: str, since: int = 0) -> list[Sample]:
    """Every sample (ms, value) of all series that fit, from `since` (ms) on, in order."""
    found = [zip(s["timestamps"], s["values"], strict=True) for s in series(studio, selector, since)]
    return sorted(sample for one in found for sample in one)


def metric(studio: StudioHost, name: str, **labels: str) -> float:
    """The sum of Vector's own series of that name and those labels; 0 when there are none."""
    page = requests.get(f"http://127.0.0.1:{studio.host.port(9598)}/metrics", timeout=10)
    page.raise_for_status()
    lines = [line for line in page.text.splitlines() if line.startswith(f"{name}{{")]
    fitting = [line for line in lines if all(f'{key}="{value}"' in line for key, value in labels.items())]
    return sum(float(line.rpartition("}")[2].split()[0]) for line in fitting)


def dead_letters(studio: StudioHost, reason: str, kind: str) -> float:
    return metric(studio, "vector_dead_letters_total", reason=reason, kind=kind)


@dataclass
class Device:
    """An MQTT client; `refused` and `lost` are what the broker said when it did not take something or hung up."""

    client: paho.Client
    refused: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def publish(self, topic: str, payload: str | bytes) -> None:
        """At QoS 1; returns when the broker has taken it."""
        sent = self.client.publish(topic, payload, 1)
        sent.wait_for_publish(30)
        assert sent.is_published(), f"the broker took no {topic} {payload[:80]!r}; {self.refused} {self.lost}"


@contextmanager
def connected(
    studio: StudioHost, user: str, password: str | None = None, protocol: int = paho.MQTTv311
) -> Iterator[Device]:
    """A client with this account over TLS, from outside the host's network, that trusts only the studio's authority.

    password: the account's own when it is None; without a user the client is anonymous.
    """
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"test-{user}-{time.monotonic_ns()}", protocol=protocol)
    if user:
        client.username_pw_set(user, secret(studio.host, user) if password is None else password)
    client.tls_set_context(ssl.create_default_context(cadata=studio.host.read(CA)))
    device = Device(client)
    ready = threading.Event()

    def on_connect(_c: paho.Client, _d: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        if reason.is_failure:
            device.refused.append(str(reason))
        ready.set()

    def on_publish(_c: paho.Client, _d: Any, _mid: int, reason: ReasonCode, _p: Any) -> None:
        if reason.is_failure:
            device.refused.append(str(reason))

    def on_disconnect(_c: paho.Client, _d: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        device.lost.append(str(reason))

    client.on_connect, client.on_publish, client.on_disconnect = on_connect, on_publish, on_disconnect
    client.connect("127.0.0.1", studio.host.port(8883), keepalive=20)
    client.loop_start()
    try:
        assert ready.wait(30), "the broker does not answer"
        yield device
    finally:
        client.disconnect()
        client.loop_stop()
