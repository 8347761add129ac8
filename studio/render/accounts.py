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


HUB_SECRET: Final = "broker-hub"  # noqa: S105 - a secret's name
REPORTS: Final = ("state", "run/+/chunk", "run/+/result")
"""What a device publishes for the hub, below `<kind>/<id>/`."""


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
    found = [
        Account("vector", "broker-vector", tuple(everything)),
        *([_hub()] if studio.hub.enabled else []),
        Account("monit", "broker-monit", (Permission(topics["canary"], "PUBLISH"),)),
    ]
    for kind, device in studio.devices:
        kinds = ("furnace", "flame") if kind == "furnace" else (kind,)
        says = [*(topics[k].replace("{id}", device.id) for k in kinds), *(f"{kind}/{device.id}/{r}" for r in REPORTS)]
        own = [Permission(topic, "PUBLISH") for topic in dict.fromkeys(says)]
        own.append(Permission(f"{kind}/{device.id}/cmd/#", "SUBSCRIBE"))
        found.append(Account(f"device-{device.id}", f"device-{device.id}", tuple(own)))
    return found


def _hub() -> Account:
    """The hub hears devices of every kind, those that it provisions itself among them, and sends them commands."""
    hears = [Permission(f"+/+/{report}", "SUBSCRIBE") for report in REPORTS]
    return Account("hub", HUB_SECRET, (*hears, Permission("+/+/cmd/#", "PUBLISH")))
