"""The hub's parts, put together once; handlers get it as `HubDep`."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from hub.apk_files import ApkFiles
from hub.context import record
from hub.errors import Refused
from hub.heartbeat import Heartbeats
from hub.limits import RateLimit
from hub.live.broadcast import Broadcast
from hub.live.outside import Outside
from hub.logs import LogWriter
from hub.metrics import Metrics
from hub.mqtt import MqttLink
from hub.nonces import Nonces
from hub.provision.events import ProvisionEvents
from hub.provision.states import States
from hub.provision.waits import Waits
from hub.runs.runner import Runner
from hub.settings import Settings
from hub.store.watched import Watched
from hub.thingsboard.accounts import Accounts


@dataclass(frozen=True, slots=True)
class Limits:
    register: RateLimit
    device: RateLimit
    """By the id of a token whose secret was right."""
    denied: RateLimit
    """Who is no device, by address."""
    login: RateLimit
    provision: RateLimit


@dataclass(frozen=True, slots=True)
class Provisioning:
    waits: Waits
    events: ProvisionEvents
    states: States


@dataclass(slots=True)
class Hub:
    settings: Settings
    metrics: Metrics
    logs: LogWriter
    limits: Limits
    db: Watched
    mqtt: MqttLink
    live: Broadcast
    problems: dict[str, str]
    """What is not as it should be, by part; shown by /readyz and on the page."""
    apk_files: ApkFiles = field(init=False)
    heartbeats: Heartbeats = field(init=False)
    nonces: Nonces = field(init=False)
    runner: Runner = field(init=False)
    accounts: Accounts = field(init=False)
    outside: Outside = field(init=False)
    provisioning: Provisioning = field(init=False)

    def limit(self, name: str, caller: str) -> None:
        """Count a request of a caller. Raises Refused (429) when there were too many."""
        self._refuse(name, getattr(self.limits, name).take(caller))

    def limited(self, name: str, caller: str) -> None:
        """The same, and the request is not counted yet."""
        self._refuse(name, getattr(self.limits, name).wait(caller))

    def _refuse(self, name: str, wait: int) -> None:
        if wait:
            self.metrics.rate_limited.labels(name).inc()
            record("sec.ratelimit", "warning", reason=name, token_id=None)
            raise Refused(429, "rate_limited", f"Too many requests; try again in {wait} s.", {"Retry-After": str(wait)})


async def get_hub(connection: HTTPConnection) -> Hub:
    hub: Hub = connection.app.state.hub
    return hub


HubDep = Annotated[Hub, Depends(get_hub)]
