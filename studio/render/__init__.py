"""render(studio) -> Bundle: every file of a generation, from nothing but the studio and this repository.

It reads no clock, network, host or environment: the same studio and the same repository give the same bytes.
"""

from typing import Any

from studio.bundle import Artifact, Bundle
from studio.model import Studio
from studio.render import (
    alertmanager,
    alloy,
    grafana,
    hivemq,
    hostctl,
    hub,
    loki,
    manifest,
    monit,
    mosquitto,
    nftables,
    node_exporter,
    promtail,
    vector_component,
    victoriametrics,
    vmalert,
)
from studio.render.component import Component, finish

__all__ = ["components", "render"]


def components(studio: Studio) -> list[Component]:
    """The services of a studio, in no particular order (each has its `order`)."""
    containers = [
        victoriametrics.render(studio),
        hivemq.render(studio) if studio.broker == "hivemq" else mosquitto.render(studio),
        vector_component.render(studio),
        alertmanager.render(studio),
        vmalert.render(studio),
        *([hub.render(studio)] if studio.hub.enabled else []),
    ]
    host = [node_exporter.render(studio)] if studio.device_metrics == "node_exporter" else []
    if alloy.is_needed(studio):
        host.append(alloy.render(studio))
    return [*containers, *host, monit.render(studio, [*containers, *host])]


def render(studio: Studio) -> Bundle:
    """The whole generation of a studio."""
    files: dict[str, Artifact] = {
        "alloy/config.alloy": alloy.config(studio),
        **nftables.render(studio),
        **promtail.render(studio),
        **loki.render(studio),
        **grafana.render(studio),
        **hostctl.render(),
    }
    entries: list[dict[str, Any]] = []
    for component in components(studio):
        own, entry = finish(component, studio.name)
        files |= own
        entries.append(entry)
    return Bundle(files, manifest.facts(studio, entries))
