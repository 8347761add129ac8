"""VictoriaMetrics: the storage, which also scrapes every other part's own metrics.

Flags are those that both 1.112 (Debian 13) and 1.150 (production) have.
"""

from typing import Any, Final

from studio.bundle import Artifact
from studio.model import Studio
from studio.render import hub
from studio.render.component import Component, loopback
from studio.render.quadlet import Container, Secret, http_health
from studio.render.yaml_text import to_yaml

NAME: Final = "victoriametrics"
CONFIG: Final = "/etc/victoriametrics"
PROGRAM: Final = "/victoria-metrics-prod"
SCRAPE_SECONDS: Final = 15
LATENCY_SECONDS: Final = 5


def targets(studio: Studio) -> dict[str, int]:
    """What is scraped: the port on the loopback address by the name of the job."""
    ports = studio.ports
    return {
        NAME: ports.victoriametrics,
        "vector": ports.vector_metrics,
        "vmalert": ports.vmalert,
        "alertmanager": ports.alertmanager,
        studio.device_metrics: ports.alloy if studio.device_metrics == "alloy" else ports.node_exporter,
        **({hub.NAME: ports.hub} if studio.hub.enabled else {}),
    }


def _job(studio: Studio, name: str, port: int) -> dict[str, Any]:
    job: dict[str, Any] = {
        "job_name": name,
        "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"studio": studio.name}}],
    }
    if name == hub.NAME:
        job["authorization"] = {"credentials_file": f"/run/secrets/{hub.METRICS_TOKEN}"}
    return job


def _scrape(studio: Studio) -> str:
    jobs = [_job(studio, name, port) for name, port in targets(studio).items()]
    return to_yaml(
        {"global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": "10s"}, "scrape_configs": jobs},
        "What VictoriaMetrics' own scraper collects: the metrics of every part.",
    )


def render(studio: Studio) -> Component:
    port = studio.ports.victoriametrics
    secrets = (Secret(hub.METRICS_TOKEN),) if studio.hub.enabled else ()
    flags = (
        "-storageDataPath=/victoria-metrics-data",
        f"-retentionPeriod={studio.retention}",
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-promscrape.config={CONFIG}/scrape.yml",
        # Vector's measurement `furnace` with the field `furnace_temp` becomes furnace_furnace_temp{db="sensors"}.
        "-influxMeasurementFieldSeparator=_",
        "-influxDBLabel=db",
        # The default hides the newest 30 s from alerts and from people.
        f"-search.latencyOffset={LATENCY_SECONDS}s",
        # What a power cut can cost.
        "-inmemoryDataFlushInterval=5s",
        "-storage.minFreeDiskSpaceBytes=500MB",
    )
    container = Container(
        name=NAME,
        title="VictoriaMetrics, the storage",
        image=studio.images.victoriametrics,
        config=CONFIG,
        command=flags,
        health=http_health(port),
        memory="1G",
        start_timeout=studio.start_timeout_seconds,
        volumes={"victoriametrics-data": "/victoria-metrics-data"},
        secrets=secrets,
        stop_seconds=30,
    )
    return Component(
        name=NAME,
        order=10,
        start_timeout=studio.start_timeout_seconds,
        files={"victoriametrics/scrape.yml": Artifact.text(_scrape(studio))},
        container=container,
        image=studio.images.victoriametrics,
        secrets=tuple(secret.name for secret in secrets),
        listens=(loopback(port, "http"),),
        health_url=f"http://127.0.0.1:{port}/health",
        validate=((PROGRAM, "-dryRun", f"-promscrape.config={CONFIG}/scrape.yml"),),
    )
