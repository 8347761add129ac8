"""The host and what runs on it: accounts, listeners, images, and where alerts, metrics and logs go."""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from studio.model.base import OwnPort, Part, Port, SecretName, Url
from studio.model.errors import FieldPath, refuse

ADDRESS = r"[A-Za-z0-9]([A-Za-z0-9.\-]*[A-Za-z0-9])?|[0-9a-fA-F:]+"
ACCOUNT = r"[a-z_][a-z0-9_\-]{0,31}"
IMAGE = r"[a-z0-9][a-z0-9._\-/:]*[a-z0-9](:[A-Za-z0-9._\-]{1,128})?(@sha256:[0-9a-f]{64})?"

DEFAULT_IMAGES: Final[dict[str, str]] = {
    "victoriametrics": "docker.io/victoriametrics/victoria-metrics:v1.150.0",
    "hivemq": "docker.io/hivemq/hivemq-ce:2026.5",
    "mosquitto": "docker.io/library/eclipse-mosquitto:2.0.22",
    "vector": "docker.io/timberio/vector:0.57.0-alpine",
    "vmalert": "docker.io/victoriametrics/vmalert:v1.150.0",
    "alertmanager": "quay.io/prometheus/alertmanager:v0.34.0",
    "python": "docker.io/library/python:3.13.9-slim-trixie",
}


def _rootless(user: str) -> str:
    if user == "root":
        raise ValueError("the containers never run as root; give an account of their own, as in 'studio'")
    return user


class Host(Part):
    """The machine: how to reach it, and the account that runs the containers."""

    address: Annotated[
        str,
        Field(
            pattern=f"^({ADDRESS})$", description="'local', or a name or address for SSH", examples=["rosewood.local"]
        ),
    ] = "local"
    port: Annotated[Port, Field(description="port of SSH")] = 22
    login: Annotated[
        str | None,
        Field(pattern=f"^{ACCOUNT}$", description="SSH account: root, or one that may use sudo", examples=["artist"]),
    ] = None
    user: Annotated[
        str,
        Field(pattern=f"^{ACCOUNT}$", description="made by the deploy; runs the containers", examples=["studio"]),
        AfterValidator(_rootless),
    ] = "studio"

    @property
    def is_local(self) -> bool:
        return self.address == "local"


class Ports(Part):
    """TCP ports; all but mqtt_tls, hub_tls and hub_provisioning listen on the loopback address alone."""

    mqtt: OwnPort = 1883
    mqtt_tls: OwnPort = 8883
    victoriametrics: OwnPort = 8428
    vector_api: OwnPort = 8686
    vector_metrics: OwnPort = 9598
    vmalert: OwnPort = 8880
    alertmanager: OwnPort = 9093
    node_exporter: OwnPort = 9100
    alloy: OwnPort = 12345
    hub: OwnPort = 8080
    hub_tls: OwnPort = 8443
    hub_provisioning: OwnPort = 8884

    @model_validator(mode="after")
    def _apart(self) -> Self:
        seen: dict[int, str] = {}
        found: list[tuple[FieldPath, str]] = []
        for name, port in self.model_dump().items():
            if (other := seen.setdefault(port, name)) != name:
                found.append(((name,), f"{other} has the port {port} too: each listener needs its own"))
        refuse(found)
        return self


def _image(value: str) -> str:
    if not re.fullmatch(IMAGE, value) or len(value) > 400:
        raise ValueError("give an image with its registry and tag, as in 'docker.io/victoriametrics/vmalert:v1.150.0'")
    tag = value.partition("@")[0].rpartition("/")[2].partition(":")[2]
    if "@" not in value and tag in {"", "latest"}:
        raise ValueError("name the version by a tag or a digest: an image without one changes under your feet")
    return value


Image = Annotated[str, AfterValidator(_image), Field(examples=["docker.io/victoriametrics/vmalert:v1.150.0"])]


class Images(Part):
    """Container image references with a tag or a digest, never `latest`."""

    victoriametrics: Image = DEFAULT_IMAGES["victoriametrics"]
    hivemq: Image = DEFAULT_IMAGES["hivemq"]
    mosquitto: Image = DEFAULT_IMAGES["mosquitto"]
    vector: Image = DEFAULT_IMAGES["vector"]
    vmalert: Image = DEFAULT_IMAGES["vmalert"]
    alertmanager: Image = DEFAULT_IMAGES["alertmanager"]
    python: Annotated[Image, Field(description="has python3 and pip; the hub's image is built on it")] = DEFAULT_IMAGES[
        "python"
    ]


class Extension(Part):
    """HiveMQ's File RBAC extension: the release archive, which is in no image."""

    url: Annotated[
        str,
        Field(
            pattern=r"^(https://|file:///)[A-Za-z0-9._~%/:\-]+\.zip$",
            examples=["file:///srv/hivemq-file-rbac-extension-4.6.16.zip"],
        ),
    ] = (
        "https://github.com/hivemq/hivemq-file-rbac-extension/releases/download/4.6.16/"
        "hivemq-file-rbac-extension-4.6.16.zip"
    )
    sha256: Annotated[
        str | None,
        Field(pattern="^[0-9a-f]{64}$", description="SHA-256 in 64 hex digits; any other archive is refused"),
    ] = None


class Receiver(Part):
    """Where alerts go: a webhook in the shape of Grafana IRM's Alertmanager integration."""

    url_secret: Annotated[SecretName, Field(description="name of the secret that holds the URL")]


class Alerts(Part):
    """Receivers by type of alert; the heartbeat is called every minute while all is well."""

    shop: Annotated[
        Receiver | None, Field(description="for the artist: furnace too cold or hot, flame out, no data")
    ] = None
    system: Annotated[
        Receiver | None, Field(description="for support: container restarted, disk full, pipeline errors")
    ] = None
    heartbeat: Annotated[Receiver | None, Field(description="dead man's switch")] = None
    runbooks: Annotated[
        Url | None,
        Field(
            description="where docs/runbook is published; alerts lead there, else they name the file",
            examples=["https://github.com/example/sensor-pipeline/blob/main/docs/runbook"],
        ),
    ] = None

    def warnings(self) -> list[str]:
        """What nobody is told of, in words: one line for each receiver that is missing."""
        missing = {
            "shop": "nobody is told when a furnace is too cold or hot, its flame out, or its data missing",
            "system": "nobody is told when a service restarts, a disk is full or the pipeline fails",
            "heartbeat": "nobody notices when the alerting itself stops",
        }
        return [f"{what}: alerts.{name} is not given" for name, what in missing.items() if getattr(self, name) is None]


class GrafanaCloud(Part):
    """A copy of the metrics to Grafana Cloud, by Prometheus remote write."""

    metrics_url: Annotated[
        Url, Field(description="remote write", examples=["https://prometheus.example.grafana.net/api/prom/push"])
    ]
    user: Annotated[str, Field(pattern=r"^[0-9A-Za-z_\-]{1,40}$", description="account there", examples=["123456"])]
    token_secret: SecretName = "grafana-cloud-token"  # noqa: S105 - a secret's name


class Logs(Part):
    """Where logs are read and shipped."""

    loki_url: Annotated[Url | None, Field(description="push endpoint; nothing is shipped without it")] = None
    user: Annotated[
        str | None, Field(pattern=r"^[0-9A-Za-z_\-]{1,40}$", description="account there", examples=["123456"])
    ] = None
    token_secret: SecretName = "loki-token"  # noqa: S105 - a secret's name
    provisioning_events: Annotated[
        str, Field(pattern=r"^/[A-Za-z0-9._/\-]+$", description="the hub's event file, a path from the root")
    ] = "/opt/projectplant/data/provisioning/events.jsonl"


class MMonit(Part):
    """M/Monit, which shows the history of monit's checks."""

    address: Annotated[
        str, Field(pattern=f"^({ADDRESS})$", description="name or address", examples=["mmonit.example.org"])
    ]
    port: Port = 8443
    user: Annotated[str, Field(pattern=r"^[0-9A-Za-z_\-]{1,40}$", description="account there", examples=["monit"])] = (
        "monit"
    )
    password_secret: SecretName = "mmonit-password"  # noqa: S105 - a secret's name


Broker = Literal["hivemq", "mosquitto"]
DeviceMetrics = Literal["alloy", "node_exporter"]
