"""What a camera lacks: a pure function of what was found there and of what ought to be."""

from dataclasses import dataclass
from typing import Any

from studio.devices.hub import Key
from studio.devices.package import AUTHORITY
from studio.model import Studio
from studio.model.equipment import Camera

Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """Why each step is needed; None: it is not."""

    install: str | None = None
    provision: str | None = None
    restart: str | None = None
    settle: str | None = None

    @property
    def reasons(self) -> list[str]:
        steps = ("install", "provision", "restart", "settle")
        return [f"{step}: {why}" for step in steps if (why := getattr(self, step))]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What ought to be on a camera. `address` is the studio's host as seen from there."""

    studio: Studio
    camera: Camera
    version: str
    address: str

    @property
    def device_server(self) -> str:
        """The broker as the agent writes it down."""
        return self._url(self.studio.ports.mqtt_tls)

    def _url(self, port: int) -> str:
        address = self.address.lower()
        return f"mqtts://[{address}]:{port}" if ":" in address else f"mqtts://{address}:{port}"

    def request(self, key: Key) -> dict[str, Any]:
        """The camera's provision.json."""
        return {
            "server": self._url(self.studio.ports.hub_provisioning),
            "device_server": self.device_server,
            "provision_device_key": key.key,
            "provision_device_secret": key.secret,
            "device_name": self.camera.id,
            "credentials_type": "MQTT_BASIC",
            "ca_certificate": AUTHORITY,
        }

    @property
    def first_config(self) -> dict[str, Any]:
        """The thermal_config.json of a camera that has none; people change it there, and it is never written again."""
        source = {"command": list(self.camera.reads)} if self.camera.reads else {}
        return {"telemetry": {"interval_seconds": max(self.camera.expected_interval_seconds, 0.1), "source": source}}


def plan(found: Found, wanted: Wanted, *, again: bool = False) -> Plan:
    """What has to be done on a camera for which `found` was told."""
    install = None
    if found["version"] != wanted.version:
        install = f"{found['version']} is there, {wanted.version} is wanted" if found["version"] else "it is not there"
    elif found["damage"]:
        install = f"changed on the device: {', '.join(found['damage'])}"
    provision = _provision(found, wanted, again=again)
    restart = None
    if found["unit"].get("ActiveState") != "active":
        restart = "it does not run"
    elif found["running"] != wanted.version:
        restart = f"version {found['running']} runs"
    elif found["unit"].get("UnitFileState") != "enabled":
        restart = "it is not started at boot"
    settle = "the key of its provisioning is still there" if found["request"] and not provision else None
    return Plan(install, provision, restart, settle)


def _provision(found: Found, wanted: Wanted, *, again: bool) -> str | None:
    if again:
        return "it is asked for"
    if found["server"] is None or found["name"] is None:
        return "the device is not provisioned"
    if found["name"] != wanted.camera.id:
        return f"the device is provisioned as {found['name']}"
    if found["server"] != wanted.device_server:
        return f"it talks to {found['server']}, not to {wanted.device_server}"
    return "an earlier provisioning is unfinished" if found["asked"] else None
