"""The root of the model: one studio, as its inventory file says it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from studio.model.base import Label, Network, Part, Slug
from studio.model.equipment import Camera, Device, Furnace, Plant, Topics
from studio.model.errors import FieldPath, refuse
from studio.model.hub import Hub, findings
from studio.model.services import (
    Alerts,
    Broker,
    DeviceMetrics,
    Extension,
    GrafanaCloud,
    Host,
    Images,
    Logs,
    MMonit,
    Ports,
)

DeviceKind = Literal["furnace", "camera", "plant"]


class Studio(Part):
    """A glass studio: everything that is deployed for it is a pure function of this."""

    name: Annotated[Slug, Field(description="the same as the file's name; label `studio` on every series")]
    title: Annotated[Label | None, Field(description="name for people; the name when left out")] = None
    host: Host = Host()
    network: Annotated[
        Network | None, Field(description="may reach the TLS listeners; nobody outside when left out")
    ] = None
    broker: Broker = "hivemq"
    hub: Hub = Hub()
    furnaces: Annotated[tuple[Furnace, ...], Field(min_length=1, description="what is heated, one at least")]
    cameras: tuple[Camera, ...] = ()
    plants: tuple[Plant, ...] = ()
    topics: Topics = Topics()
    retention: Annotated[
        str,
        Field(
            pattern=r"^[1-9][0-9]{0,3}[dwy]$",
            description="how long VictoriaMetrics keeps data: a number with d, w or y",
            examples=["100y"],
        ),
    ] = "100y"
    alerts: Alerts = Alerts()
    grafana_cloud: GrafanaCloud | None = None
    logs: Logs = Logs()
    device_metrics: DeviceMetrics = "alloy"
    mmonit: MMonit | None = None
    ports: Ports = Ports()
    images: Images = Images()
    image_archive: Annotated[
        str | None,
        Field(
            pattern=r"^/[A-Za-z0-9._/\-]+$",
            description="folder of <component>.tar on the host",
            examples=["/srv/images"],
        ),
    ] = None
    file_rbac: Extension = Extension()
    start_timeout_seconds: Annotated[
        int, Field(ge=10, le=900, description="seconds for a service to become healthy; a Pi needs more than a PC")
    ] = 90

    @property
    def display_name(self) -> str:
        return self.title or self.name

    @property
    def devices(self) -> tuple[tuple[DeviceKind, Device], ...]:
        """Every device with its kind, in the inventory's order: furnaces, cameras, plants."""
        return (
            *(("furnace", d) for d in self.furnaces),
            *(("camera", d) for d in self.cameras),
            *(("plant", d) for d in self.plants),
        )

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.broker == "hivemq" and self.network and ":" in self.network:
            what = f"HiveMQ listens on IPv4 alone, {self.network} is IPv6: give an IPv4 network, or broker: mosquitto"
            refuse([(("network",), what)])
        return self

    @model_validator(mode="after")
    def _hub_fits(self) -> Self:
        refuse(findings(self.hub, self.network, self.logs.provisioning_events))
        return self

    @model_validator(mode="after")
    def _unique(self) -> Self:
        groups = {"furnaces": self.furnaces, "cameras": self.cameras, "plants": self.plants}
        seen: set[str] = set()
        found: list[tuple[FieldPath, str]] = []
        for group, devices in groups.items():
            for index, device in enumerate(devices):
                if device.id in seen:
                    what = f"the id {device.id!r} is used twice: every furnace, camera and plant needs its own"
                    found.append(((group, index, "id"), what))
                seen.add(device.id)
        refuse(found)
        return self
