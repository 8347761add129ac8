"""The hub: devices that enrol, commands, waits for devices being provisioned, a live page."""

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import Field

from studio.model.base import Part, SecretName
from studio.model.errors import FieldPath


class Hub(Part):
    """The hub's part in the studio; without `tls` it listens on the loopback address alone."""

    enabled: Annotated[bool, Field(description="false: the studio has no hub")] = True
    tls: Annotated[bool, Field(description="also HTTPS on the studio's `network`, with the host's certificate")] = False
    provisioning: Annotated[
        bool, Field(description="with tls: devices may provision themselves in ThingsBoard's protocol (MQTT over TLS)")
    ] = True
    database_url_secret: Annotated[
        SecretName | None, Field(description="name of the secret that holds a postgresql:// URL; SQLite without it")
    ] = None
    fcm_secret: Annotated[
        SecretName | None, Field(description="name of the secret that holds a Firebase service account (JSON)")
    ] = None


def findings(hub: Hub, network: str | None, events: str) -> list[tuple[FieldPath, str]]:
    """What is wrong with the hub together with the rest of the studio; `events` is the path of its event file."""
    if not hub.enabled:
        return []
    found: list[tuple[FieldPath, str]] = []
    if hub.tls and network is None:
        what = "HTTPS is for the studio's network: give `network`, as in 'network: 192.168.1.0/24'"
        found.append((("hub", "tls"), what))
    folder = PurePosixPath(events).parent
    if len(folder.parts) < 3 or ".." in folder.parts:
        what = f"the hub writes into {folder}: give it a folder of its own, as in '/srv/provisioning/events.jsonl'"
        found.append((("logs", "provisioning_events"), what))
    return found
