"""A real Mosquitto on loopback for the hub's tests."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from lab.ports import free_port


def _program() -> str:
    found = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if found is None and os.geteuid() == 0:
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command = ["apt-get", "install", "-yq", "--no-install-recommends", "mosquitto"]
        subprocess.run(command, check=True, capture_output=True, env=env)
        found = shutil.which("mosquitto", path="/usr/sbin:/usr/bin")
    assert found, "these tests need Mosquitto: apt-get install mosquitto"
    return found


class Mosquitto:
    """Start, stop, start again on the same port; `extra` are lines of its configuration."""

    def __init__(self, folder: Path, extra: str = "allow_anonymous true") -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\nuser root\n{extra}\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._process = subprocess.Popen(
            [_program(), "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            probe = paho.Client(CallbackAPIVersion.VERSION2)
            try:
                probe.connect("127.0.0.1", self.port)
            except OSError:
                time.sleep(0.02)
            else:
                probe.disconnect()
                return
        raise AssertionError("Mosquitto did not start")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def publish(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for the acknowledgement."""
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        try:
            sent = client.publish(topic, payload, qos=1, retain=retain)
            sent.wait_for_publish(30)
            assert sent.is_published(), "the broker did not take it"
        finally:
            client.disconnect()
            client.loop_stop()
