"""Alloy: host metrics to VictoriaMetrics and Grafana Cloud; provisioning events, the hub's log and the journal to Loki.

Alloy runs where the inventory says `device_metrics: alloy` or has somewhere to ship to; its configuration is rendered
for every studio, to be looked at.
"""

from typing import Final

from studio.bundle import Artifact
from studio.model import Studio
from studio.paths import HOST_CURRENT
from studio.render.component import Component, loopback
from studio.render.host_metrics import COLLECTORS
from studio.render.templates import fill

NAME: Final = "alloy"
CREDENTIALS: Final = "/run/credentials/alloy.service/"
HOST_JOB: Final = "node"
FAMILIES: Final = (
    *("furnace", "camera", "plant", "pipeline"),
    *("vector", "vm", "vminsert", "vmalert", "alertmanager"),
    *("hub", "http", "fcm", "apk", "heartbeats", "runner", "runs?", "live", "provision", "thingsboard"),
    "process",
)
"""What Grafana Cloud gets a copy of: the first words of the names of metrics that dashboards and alerts read."""


def secrets(studio: Studio) -> tuple[str, ...]:
    """The tokens that Alloy sends, by name."""
    cloud = (studio.grafana_cloud.token_secret,) if studio.grafana_cloud else ()
    logs = (studio.logs.token_secret,) if studio.logs.loki_url and studio.logs.user else ()
    return tuple(dict.fromkeys((*cloud, *logs)))


def federated(studio: Studio) -> list[str]:
    """What is copied from VictoriaMetrics to Grafana Cloud; Alloy's own host metrics, with `up`, go by themselves."""
    own = studio.device_metrics == "alloy"
    families = FAMILIES if own else (*FAMILIES, "node")
    return [f'{{__name__=~"({"|".join(families)})_.+|.+:.+|ALERTS"}}', f'up{{job!="{HOST_JOB}"}}' if own else "up"]


def is_needed(studio: Studio) -> bool:
    return studio.device_metrics == "alloy" or studio.grafana_cloud is not None or studio.logs.loki_url is not None


def config(studio: Studio) -> Artifact:
    """alloy/config.alloy."""
    logs = studio.logs
    storage = f"127.0.0.1:{studio.ports.victoriametrics}"
    loki = {"url": logs.loki_url, "user": logs.user, "token_secret": logs.token_secret} if logs.loki_url else None
    return Artifact.text(
        fill(
            "alloy/config.alloy",
            studio=studio.name,
            host_metrics=studio.device_metrics == "alloy",
            host_job=HOST_JOB,
            storage_address=storage,
            storage_url=f"http://{storage}/api/v1/write",
            cloud=studio.grafana_cloud,
            federated=federated(studio),
            collectors=COLLECTORS,
            credentials=CREDENTIALS,
            loki=loki,
            provisioning=logs.provisioning_events,
        )
    )


def render(studio: Studio) -> Component:
    port = studio.ports.alloy
    tokens = secrets(studio)
    drop_in = fill("systemd/alloy.conf", current=HOST_CURRENT, port=port, secrets=tokens)
    return Component(
        name=NAME,
        order=60,
        start_timeout=60,
        files={
            "alloy/config.alloy": config(studio),
            "systemd/alloy.service.d/sensor-pipeline.conf": Artifact.text(drop_in),
        },
        package="alloy",
        service="alloy",
        secrets=tokens,
        listens=(loopback(port, "http"),),
        health_url=f"http://127.0.0.1:{port}/-/ready",
        validate=(("/usr/bin/alloy", "validate", "{gen}/alloy/config.alloy"),),
    )
