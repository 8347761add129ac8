"""The part of the hub that answers waits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import orjson

from hub.ids import is_device_id
from hub.mqtt import Refusal
from hub.provision.eventlog import EventLog, Rotation
from hub.provision.events import ProvisionEvents
from hub.provision.states import KIND, States
from hub.provision.waits import Waits
from hub.service import Hub, Provisioning


@contextlib.asynccontextmanager
async def provisioning(hub: Hub) -> AsyncIterator[None]:
    chosen = hub.settings.provision_event_log.strip()
    rotation = Rotation(hub.settings.provision_event_log_bytes, hub.settings.provision_event_log_kept)
    log = EventLog(Path(chosen) if chosen else None, hub.metrics.event_log_failures.inc, rotation)
    waits = Waits(hub.settings.max_waits)
    events = ProvisionEvents(log, hub.metrics, hub.logs)
    states = States(hub.db, waits, events, hub.settings.max_devices)
    hub.metrics.waiting.set_function(lambda: len(waits))
    hub.metrics.watch("provision_event_log_queue_lines", "Lines waiting for the event log", lambda: log.depth)
    await states.load()
    hub.provisioning = Provisioning(waits, events, states)

    def state(topic: str, payload: bytes, retained: bool) -> None:
        device_id = topic.split("/")[1]
        if not is_device_id(device_id):
            raise Refusal("device id")
        check_object(payload)
        if not states.take(device_id, retained):
            raise Refusal("too many devices")

    hub.mqtt.on(f"{KIND}/+/state", state)
    storing = asyncio.create_task(states.run())
    try:
        yield
    finally:
        storing.cancel()
        await asyncio.gather(storing, return_exceptions=True)
        with contextlib.suppress(Exception):
            await states.flush()
        await asyncio.to_thread(log.close)


def check_object(payload: bytes) -> None:
    """Raises Refusal when a payload is not a JSON object."""
    try:
        content = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise Refusal("not JSON") from None
    if not isinstance(content, dict):
        raise Refusal("not an object")


@contextlib.asynccontextmanager
async def mqtt_link(hub: Hub) -> AsyncIterator[None]:
    """Connected to the broker from when every part has said what it wants, and again whenever it went away."""
    if not hub.settings.mqtt_url:
        yield
        return
    hub.problems["mqtt"] = "connecting to the broker"
    linking = asyncio.create_task(hub.mqtt.run(hub.problems))
    try:
        yield
    finally:
        linking.cancel()
        await asyncio.gather(linking, return_exceptions=True)
