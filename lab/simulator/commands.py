"""Simulated devices as the hub knows them: they do what they are told and tell their output."""

import json
from typing import Any, Final

from paho.mqtt.client import Client

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
