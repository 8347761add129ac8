"""Who may do what at the broker: one account a part and a device, the same rights whichever broker it is."""

from dataclasses import dataclass
from typing import Final, Literal

from studio.model import Studio

Activity = Literal["PUBLISH", "SUBSCRIBE"]
QUEUED_MESSAGES: Final = 100_000
"""A client: at 100 messages a second a quarter of an hour without Vector. HiveMQ's default of 1,000 lost data."""
MAX_PACKET_BYTES: Final = 2_000_000
"""Less than Vector takes: a bigger packet would cut Vector's connection and be sent to it again for ever."""
EXPIRY_SECONDS: Final = 7 * 24 * 3600
"""What is queued for a client that stays away, and its session, are kept this long."""


@dataclass(frozen=True, slots=True)
class Permission:
    topic: str
    activity: Activity


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the broker; its role has its own name, its password is the secret `secret`."""

    name: str
    secret: str
    permissions: tuple[Permission, ...]


def accounts(studio: Studio) -> list[Account]:
    """Every account of the studio: vector, hub, monit, and `device-<id>` of each device."""
    topics = {kind: str(pattern) for kind, pattern in studio.topics.model_dump().items()}
    everything = [Permission(topic.replace("{id}", "+"), "SUBSCRIBE") for topic in topics.values()]
    hub = [Permission(topics["plant"].replace("{id}", "+"), "SUBSCRIBE")]
    hub += [Permission(f"{kind}/+/cmd/#", "PUBLISH") for kind in ("furnace", "camera", "plant")]
    found = [
        Account("vector", "broker-vector", tuple(everything)),
        Account("hub", "broker-hub", tuple(hub)),
        Account("monit", "broker-monit", (Permission(topics["canary"], "PUBLISH"),)),
    ]
    for kind, device in studio.devices:
        kinds = ("furnace", "flame") if kind == "furnace" else (kind,)
        own = [Permission(topics[k].replace("{id}", device.id), "PUBLISH") for k in kinds]
        own.append(Permission(f"{kind}/{device.id}/cmd/#", "SUBSCRIBE"))
        found.append(Account(f"device-{device.id}", f"device-{device.id}", tuple(own)))
    return found
