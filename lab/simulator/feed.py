"""Plays a simulated studio to a broker: one MQTT connection a device, each with its own account, over TLS.

    python -m lab.simulator.feed SETTINGS.json

SETTINGS.json (mode 0600, it holds passwords): {"inventory": path, "host": name or address, "port": 8883, "ca": path,
"passwords": {device: password}, "moods": path of a JSON file {furnace: mood} that is read again when it changes,
"speed": 1, "hub": {"url", "token" (a tablet's enrolment), "kept" (the file of the tablet's own token)} or nothing}.
"""

import json
import logging
import ssl
import sys
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from lab.simulator import commands, tablet
from lab.simulator.messages import StudioSimulation
from lab.simulator.physics import Mood
from studio.model import Studio
from studio.model.loader import load_studio

log = logging.getLogger("simulator")
CONNECT_SECONDS: Final = 20.0


def connect(settings: dict[str, Any], kind: str, device: str) -> Client:
    """A client with the device's account that connects in the background, again whenever it is cut off."""
    # A session that lasts: a command that comes while the device is away waits for it at the broker.
    client = Client(CallbackAPIVersion.VERSION2, client_id=f"simulated-{device}", clean_session=False)
    client.username_pw_set(f"device-{device}", settings["passwords"][device])
    if settings.get("ca"):
        client.tls_set_context(ssl.create_default_context(cafile=settings["ca"]))
    client.max_queued_messages_set(1000)
    client.reconnect_delay_set(1, 5)
    commands.obey(client, kind, device)
    client.connect_async(settings["host"], settings["port"], keepalive=20)
    client.loop_start()
    return client


def wait_until_connected(clients: Collection[Client]) -> None:
    """Return when all are connected, or so late that the others should not wait for those that are not."""
    until = time.monotonic() + CONNECT_SECONDS
    while not all(client.is_connected() for client in clients) and time.monotonic() < until:
        time.sleep(0.05)


class Moods:
    """The moods file, read again when it changed."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen = 0

    def changed(self) -> dict[str, Mood] | None:
        """The moods when the file is new since the last call, else None."""
        try:
            stamp = self._path.stat().st_mtime_ns if self._path else 0
        except FileNotFoundError:
            return None
        if stamp == self._seen or self._path is None:
            return None
        self._seen = stamp
        try:
            return {furnace: Mood(mood) for furnace, mood in json.loads(self._path.read_text()).items()}
        except ValueError as error:
            log.warning("%s: %s; moods stay as they were", self._path, error)
            return None


def play(studio: Studio, settings: dict[str, Any]) -> None:
    """Send every message at its time, for ever; what is late because the process slept is skipped, not caught up."""
    simulation = StudioSimulation(studio, speed=float(settings.get("speed", 1)))
    moods = Moods(Path(settings["moods"]) if settings.get("moods") else None)
    clients = {device.id: connect(settings, kind, device.id) for kind, device in studio.devices}
    if hub := settings.get("hub"):
        threading.Thread(target=tablet.live, args=(hub["url"], hub["token"], Path(hub["kept"])), daemon=True).start()
    wait_until_connected(clients.values())
    begun = time.monotonic()
    for message in simulation.messages():
        wait = begun + message.at - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        elif wait < -5:
            begun -= wait
        if (changed := moods.changed()) is not None:
            simulation.moods = changed
            log.info("moods: %s", {k: v.value for k, v in changed.items()} or "all normal")
        client = clients[message.device]
        if client.is_connected():
            client.publish(message.topic, message.payload, qos=1)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = json.loads(Path(sys.argv[1]).read_text())
    play(load_studio(Path(settings["inventory"])), settings)


if __name__ == "__main__":
    main()
