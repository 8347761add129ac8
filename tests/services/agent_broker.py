"""A real Mosquitto on loopback for a test, and a listener that notes what passes through it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import paho.mqtt.client as paho
import pytest

from agent import config
from lab.ports import free_port

NAME = "thermal-camera-a1b2c3"


def mosquitto() -> str:
    """The broker's program; installed from the distribution when this is root and it is not there."""
    found = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None and os.geteuid() == 0:
        subprocess.run(["apt-get", "install", "-yq", "--no-install-recommends", "mosquitto"], check=True)
        found = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.fail("these tests need a real broker: apt-get install mosquitto")
    return found


class Broker:
    """Can be stopped and started again on the same port; it keeps nothing over a stop."""

    def __init__(self, folder: Path, extra: str = "", *, anonymous: bool = True) -> None:
        self.port = free_port()
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous {str(anonymous).lower()}\nuser root\n"
            f"max_queued_messages 0\nmax_inflight_messages 0\n{extra}\n"
        )
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([mosquitto(), "-c", self._settings], stdout=log, stderr=log)
        until(lambda: _answers(self.port), 60)

    def reload(self) -> None:
        """Read passwords and rights again."""
        if self._process:
            self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> "Broker":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def until(done: Callable[[], object], seconds: float) -> None:
    """Wait for something; fail when it has not come true in time."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


class Listener:
    """Connects, again after each loss, and notes every message as (topic, payload, retained)."""

    def __init__(self, port: int, topic: str = "#", login: tuple[str, str] | None = None) -> None:
        self.heard: list[tuple[str, str, bool]] = []
        self._up = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        if login:
            self._client.username_pw_set(*login)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, 1)
        self._client.on_subscribe = lambda *_: self._up.set()
        self._client.on_disconnect = lambda *_: self._up.clear()
        self._client.on_message = lambda _c, _u, m: self.heard.append((m.topic, m.payload.decode(), m.retain))
        self._client.connect_async("127.0.0.1", port)

    def of(self, topic: str) -> list[str]:
        return [payload for heard, payload, _ in list(self.heard) if heard == topic]

    def say(self, topic: str, payload: str, *, retain: bool = False) -> None:
        sent = self._client.publish(topic, payload, 1, retain)
        sent.wait_for_publish(30)
        assert sent.is_published(), "the broker did not take it"

    def wait(self) -> None:
        assert self._up.wait(60), "the listener is not connected"

    def __enter__(self) -> "Listener":
        self._client.loop_start()
        self.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def program(directory: Path, *, notify: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """The real agent at work in a process of its own; ended in the end."""
    import sys

    environment: dict[str, Any] = os.environ | ({"NOTIFY_SOCKET": notify} if notify else {})
    with subprocess.Popen(
        [sys.executable, "-m", "agent", "run", "--dir", str(directory), "--log", "json"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(20)


def configured(directory: Path, port: int, **more: Any) -> Path:
    """A folder with what an agent works with at the broker on this port, five readings a second."""
    directory.mkdir(exist_ok=True)
    values = {
        "device_name": NAME,
        "mqtt": {"server": f"mqtt://127.0.0.1:{port}", "username": "token"},
        "telemetry": {"interval_seconds": 0.2, "source": {"simulator": True}},
    }
    (directory / config.FILE).write_text(json.dumps(values | more))
    return directory
