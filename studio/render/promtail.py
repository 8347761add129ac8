"""Promtail's configuration for the provisioning events: for installations that still have it (end of life in 2026)."""

from typing import Final

from studio.bundle import Artifact
from studio.model import Studio
from studio.render.yaml_text import to_yaml

PATH: Final = "promtail/promtail-provisioning.yaml"
EXPRESSIONS: Final = {
    "event": "event",
    "device_id": "device_id",
    "method": "method",
    "elapsed": "elapsed",
    "retained": "retained",
    "waiters": "waiters_notified",
    "timestamp": "timestamp",
}


def render(studio: Studio) -> dict[str, Artifact]:
    labels = {"job": "provisioning", "__path__": studio.logs.provisioning_events}
    stages = [
        {"json": {"expressions": EXPRESSIONS}},
        # When the event was, not when it was read.
        {"timestamp": {"source": "timestamp", "format": "RFC3339Nano"}},
        {"labels": {"event": None, "method": None, "retained": None}},
    ]
    job = {
        "job_name": "projectplant_provisioning",
        "static_configs": [{"targets": ["localhost"], "labels": labels}],
        "pipeline_stages": stages,
    }
    return {PATH: Artifact.text(to_yaml({"scrape_configs": [job]}, "Merge this into Promtail's scrape_configs."))}
