"""A device that sends numbered messages at a steady pace, keeps them until the broker has them, and knows which it has.

Number n is the temperature 1000 + (n mod 1000) / 10 at the time `start + 10 n` ms: its time tells a stored sample's
number, its value that the sample is whole.
"""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
from deploy_support import StudioHost
from paho.mqtt.enums import CallbackAPIVersion
from pipeline_support import CA, MAIN, now_ms, samples

from lab.run import wait_for
from lab.studio_host import secret

HERTZ = 100
SPACING_MS = 1000 // HERTZ


def value(number: int) -> float:
    return 1000 + number % 1000 / 10


class Numbered:
    """The device, sending since it was made; its own outgoing queue has no limit."""

    def __init__(self, studio: StudioHost) -> None:
        self._studio = studio
        self.start_ms = now_ms()
        self.sent = 0
        self._numbers: dict[int, int] = {}  # by the identifiers of their messages, which begin anew only after 65535
        self._acknowledged: list[int] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"test-numbered-{self.start_ms}")
        client.username_pw_set("device-main", secret(studio.host, "device-main"))
        client.tls_set_context(ssl.create_default_context(cadata=studio.host.read(CA)))
        client.max_inflight_messages_set(HERTZ)
        client.max_queued_messages_set(0)
        client.reconnect_delay_set(1, 2)
        client.on_publish = self._on_publish
        client.connect("127.0.0.1", studio.host.port(8883), keepalive=10)
        client.loop_start()
        self._client = client
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        begun = time.monotonic()
        while not self._stop.is_set():
            due = int((time.monotonic() - begun) * HERTZ)
            while self.sent < due:
                at = self.start_ms + self.sent * SPACING_MS
                payload = json.dumps({"furnace_temp": value(self.sent), "ts": at})
                self._numbers[self._client.publish(MAIN, payload, 1).mid] = self.sent
                self.sent += 1
            self._stop.wait(0.01)

    def _on_publish(self, _client: paho.Client, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        with self._lock:
            self._acknowledged.append(mid)

    def known(self) -> set[int]:
        """The numbers that the broker has acknowledged by now."""
        with self._lock:
            acknowledged = list(self._acknowledged)
        return {self._numbers[mid] for mid in acknowledged if mid in self._numbers}

    def stored(self) -> set[int]:
        """The numbers that VictoriaMetrics has, each with its own value and no sample of any other time."""
        selector = 'furnace_furnace_temp{studio="lab",furnace="main"}'
        found = [s for s in samples(self._studio, selector) if s[0] >= self.start_ms]
        numbers = {(at - self.start_ms) // SPACING_MS for at, _ in found}
        whole = {(self.start_ms + n * SPACING_MS, value(n)) for n in numbers}
        assert set(found) == whole, sorted(set(found) ^ whole)[:10]
        return numbers

    def flowing(self, seconds: float) -> float:
        """The seconds until a message that is sent from now on is stored."""
        began, first = time.monotonic(), self.sent
        wait_for("a message that was sent since is stored", lambda: max(self.stored(), default=-1) >= first, seconds, 1)
        return time.monotonic() - began

    def finish(self) -> set[int]:
        """Stop sending; returns all numbers once the broker has acknowledged every one of them."""
        self._stop.set()
        self._thread.join()
        wait_for("the broker has everything", lambda: len(self.known()) == self.sent, 120)
        return self.known()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def numbered(studio: StudioHost) -> Iterator[Numbered]:
    """A device that has sent for three seconds and whose messages are being stored."""
    device = Numbered(studio)
    try:
        wait_for("messages are stored", lambda: len(device.stored()) >= 3 * HERTZ, 60, 1)
        yield device
    finally:
        device.close()
