"""node_exporter: the host's own metrics, from Debian's package, scraped by VictoriaMetrics."""

from typing import Final

from studio.bundle import Artifact
from studio.model import Studio
from studio.paths import HOST_CURRENT
from studio.render.component import Component, loopback
from studio.render.host_metrics import COLLECTORS
from studio.render.templates import fill

NAME: Final = "node_exporter"
PACKAGE: Final = "prometheus-node-exporter"


def render(studio: Studio) -> Component:
    port = studio.ports.node_exporter
    collectors = " ".join(f"--collector.{name}" for name in COLLECTORS)
    defaults = f'ARGS="--web.listen-address=127.0.0.1:{port} --collector.disable-defaults {collectors}"\n'
    return Component(
        name=NAME,
        order=60,
        start_timeout=30,
        files={
            "node_exporter/defaults": Artifact.text(defaults),
            f"systemd/{PACKAGE}.service.d/sensor-pipeline.conf": Artifact.text(
                fill(f"systemd/{PACKAGE}.conf", current=HOST_CURRENT)
            ),
        },
        package=PACKAGE,
        service=PACKAGE,
        listens=(loopback(port, "metrics"),),
        health_url=f"http://127.0.0.1:{port}/metrics",
    )
