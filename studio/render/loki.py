"""Rules for Loki's ruler (alerts/loki): LogQL over provisioning events and the hub's log, which vmalert cannot read."""

from functools import cache
from typing import Any, Final

import yaml

from studio.bundle import Artifact
from studio.model import Studio
from studio.paths import ROOT
from studio.render.rules import runbook
from studio.render.yaml_text import to_yaml

RULES: Final = ROOT / "alerts" / "loki"
AS_GIVEN: Final = "ProjectPlantProvisioningTimeouts"
"""The provisioning document's own rule stays word for word: no label and no annotation is added to it."""


@cache
def catalogue() -> dict[str, list[dict[str, Any]]]:
    """The groups of every file, by its name."""
    files = sorted(RULES.glob("*.yaml"))
    return {path.name: yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)["groups"] for path in files}


def names() -> list[str]:
    """Every alert that Loki may raise."""
    return [rule["alert"] for groups in catalogue().values() for group in groups for rule in group["rules"]]


def _rule(studio: Studio, rule: dict[str, Any]) -> dict[str, Any]:
    if rule["alert"] == AS_GIVEN:
        return rule
    return {**rule, "annotations": {**rule["annotations"], "runbook_url": runbook(studio, rule["alert"])}}


def render(studio: Studio) -> dict[str, Artifact]:
    """loki/<file>.yaml, a file of groups each."""
    return {
        f"loki/{name}": Artifact.text(
            to_yaml(
                {"groups": [{**group, "rules": [_rule(studio, rule) for rule in group["rules"]]} for group in groups]},
                "LogQL, for Loki's ruler alone.",
            )
        )
        for name, groups in catalogue().items()
    }
