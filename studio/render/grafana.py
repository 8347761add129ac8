"""Grafana's dashboards for one studio: those of `dashboards/`, filled in with what the inventory says."""

import hashlib
from functools import cache
from typing import Final

from dashboards.catalogue import of_studio, of_system
from dashboards.frame import fill, to_text
from dashboards.panels import Rule
from studio.bundle import Artifact
from studio.model import Studio
from studio.render import loki
from studio.render.catalogue import entries
from studio.render.rules import runbook

FOLDER: Final = "grafana"
UID_LENGTH: Final = 40
ROOM: Final = UID_LENGTH - len("command-throughput-")
"""What the longest name of a dashboard leaves for the studio's."""


def _rules(studio: Studio) -> dict[str, Rule]:
    metrics = {name: Rule(entry.threshold, runbook(studio, name)) for name, entry in entries().items()}
    return metrics | {name: Rule(None, runbook(studio, name)) for name in loki.names()}


@cache
def _system(rules: tuple[tuple[str, Rule], ...]) -> dict[str, str]:
    return {described.name: to_text(described) for described in of_system(dict(rules))}


def short(name: str) -> str:
    """A studio's name as the end of a uid: Grafana takes no uid of more than 40 characters."""
    return name if len(name) <= ROOM else f"{name[: ROOM - 7]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def render(studio: Studio) -> dict[str, Artifact]:
    """Every dashboard as JSON in Grafana's schema, `grafana/<name>.json`."""
    rules = _rules(studio)
    texts = {described.name: to_text(described) for described in of_studio(studio, rules)}
    texts |= _system(tuple(rules.items()))
    values = {
        "name": studio.name,
        "uid": short(studio.name),
        "title": studio.display_name,
        **{f"label {device.id}": device.title for _, device in studio.devices},
    }
    return {f"{FOLDER}/{name}.json": Artifact.text(fill(text, values)) for name, text in texts.items()}
