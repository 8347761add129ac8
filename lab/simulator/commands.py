"""Simulated devices as the hub knows them: they do what they are told and tell their output; a tablet beats."""

import json
import logging
import time
from typing import Any, Final

import requests
from paho.mqtt.client import Client

log = logging.getLogger("simulator")
BEAT_SECONDS: Final = 10.0
STEPS: Final = ("looking at it", "doing it", "done")


def obey(client: Client, kind: str, device: str) -> None:
    """Let a client take the commands of its device: each is answered with a few lines of output and a result."""

    def connected(_client: Client, _data: Any, _flags: Any, _reason: Any, _properties: Any) -> None:
        client.subscribe(f"{kind}/{device}/cmd/#", qos=1)

    def commanded(_client: Client, _data: Any, message: Any) -> None:
        told = json.loads(message.payload)
        run = f"{kind}/{device}/run/{told['request_id']}"
        for seq, step in enumerate(STEPS):
            line = json.dumps({"seq": seq, "data": f"{device}: {told['action']}: {step}\n"})
            client.publish(f"{run}/chunk", line, qos=1)
        client.publish(f"{run}/result", json.dumps({"outcome": "ok"}), qos=1)

    client.on_connect = connected
    client.on_message = commanded


def beat(hub: str, token: str) -> None:
    """Register a tablet with an enrolment token and let it beat, for ever; a hub that is away is tried again."""
    own = ""
    while True:
        try:
            if not own:
                wanted = {"device_id": "tablet-1", "token": token, "kind": "tablet", "alias": "Tablet at the bench"}
                answer = requests.post(f"{hub}/v1/register", json=wanted, timeout=10)
                answer.raise_for_status()
                own = answer.json()["device_token"]
            headers = {"Authorization": f"Bearer {own}"}
            sent = {"status": "ok", "battery_pct": 81, "network_type": "wifi"}
            requests.post(f"{hub}/v1/heartbeat", json=sent, headers=headers, timeout=10).raise_for_status()
        except requests.RequestException as error:
            log.warning("tablet: %s", error)
        time.sleep(BEAT_SECONDS)
