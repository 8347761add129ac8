"""What Loki's and Alloy's own parsers say of the rendered files, and of broken ones."""

from pathlib import Path

import loki_support
import pytest

from studio.model import Studio, load_studio
from studio.paths import ROOT
from studio.render import render

CLOUD = {"metrics_url": "https://metrics.example.net/push", "user": "1"}
LOGS = {"loki_url": "https://logs.example.net/loki/api/v1/push"}
WAYS = {
    "nothing shipped": {},
    "logs": {"logs": LOGS},
    "everything by Alloy": {"logs": {**LOGS, "user": "2"}, "grafana_cloud": CLOUD, "device_metrics": "alloy"},
    "metrics of node_exporter": {"grafana_cloud": CLOUD, "device_metrics": "node_exporter"},
}


def put(studio: Studio, folder: Path) -> list[Path]:
    found = []
    for path, artifact in render(studio).files.items():
        if path.startswith("loki/") or path.endswith(".alloy"):
            found.append(folder / path.replace("/", "-"))
            found[-1].write_bytes(artifact.content)
    return found


@pytest.mark.parametrize("ways", WAYS.values(), ids=list(WAYS))
def test_whatever_a_studio_ships_is_read_by_lokis_and_alloys_parsers(ways: dict[str, object], tmp_path: Path) -> None:
    files = put(Studio.model_validate({**load_studio("lab").model_dump(), **ways}), tmp_path)
    assert len(files) == 3
    assert loki_support.syntax(*files) == ""


def test_a_studio_with_every_key_too(tmp_path: Path) -> None:
    assert loki_support.syntax(*put(load_studio(str(ROOT / "tests/golden/everything.yaml")), tmp_path)) == ""


@pytest.mark.parametrize(
    ("name", "old", "new", "error"),
    [
        ("alloy-config.alloy", "stage.timestamp {", "stage.timestamp ", "expected block label"),
        ("alloy-config.alloy", 'source = "timestamp"', 'source = "timestamp', "string literal not terminated"),
        ("alloy-config.alloy", "stage.static_labels", "stage.static_lables", "Unknown stage type"),
        ("alloy-config.alloy", "RFC3339Nano", "", "timestamp"),
        ("loki-provisioning_alerts.yaml", "[10m])) > 0", "[10m)) > 0", "parse error"),
        ("loki-provisioning_alerts.yaml", "    for:", "    four:", "field four not found"),
    ],
)
def test_what_is_broken_is_refused(name: str, old: str, new: str, error: str, tmp_path: Path) -> None:
    put(Studio.model_validate({**load_studio("lab").model_dump(), "logs": LOGS}), tmp_path)
    file = tmp_path / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    assert error in loki_support.syntax(file)
