"""Rules for Loki's ruler: LogQL over the provisioning events, which vmalert cannot evaluate."""

from functools import cache
from typing import Final

from studio.bundle import Artifact
from studio.render.yaml_text import to_yaml

PATH: Final = "loki/provisioning_alerts.yaml"
TIMEOUTS: Final = {
    "alert": "ProjectPlantProvisioningTimeouts",
    "expr": 'sum(rate({job="provisioning",event="wait_timeout"}[10m])) > 0',
    "for": "10m",
    "labels": {"severity": "warning", "team": "projectplant"},
    "annotations": {
        "summary": "Provisioning timeouts detected",
        "description": "No device satisfied provisioning waiters in the last 10 minutes.\n"
        "Check BLE advertising, Wi-Fi credentials, and hub MQTT connectivity.\n",
    },
}


@cache
def render() -> dict[str, Artifact]:
    rules = {"groups": [{"name": "provisioning", "rules": [TIMEOUTS]}]}
    return {PATH: Artifact.text(to_yaml(rules, "LogQL, for Loki's ruler alone."))}
