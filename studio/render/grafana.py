"""A Grafana dashboard of the furnaces: temperatures, their limits, the flame."""

from typing import Any, Final

from studio.bundle import Artifact
from studio.model import Furnace, Studio
from studio.render.escape import metricsql, to_json

PATH: Final = "grafana/furnaces.json"
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
NO_VALUE: Final = "no data"


def _target(expr: str, legend: str, ref: str = "A") -> dict[str, Any]:
    return {"refId": ref, "datasource": DATASOURCE, "expr": expr, "legendFormat": legend}


def _panel(number: int, kind: str, title: str, description: str, unit: str, **more: Any) -> dict[str, Any]:
    field = {"defaults": {"unit": unit, "noValue": NO_VALUE, **more.pop("field", {})}, "overrides": []}
    return {
        "id": number,
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "fieldConfig": field,
        **more,
    }


def _thresholds(furnace: Furnace) -> dict[str, Any]:
    steps = [
        {"color": "blue", "value": None},
        {"color": "green", "value": furnace.low_celsius},
        {"color": "red", "value": furnace.high_celsius},
    ]
    return {"mode": "absolute", "steps": steps}


def _now(number: int, column: int, width: int, furnace: Furnace, studio: str) -> dict[str, Any]:
    match = f"studio={metricsql(studio)},furnace={metricsql(furnace.id)}"
    return _panel(
        number,
        "stat",
        furnace.title,
        "The newest temperature of the last 10 minutes.",
        "celsius",
        field={"thresholds": _thresholds(furnace)},
        gridPos={"x": column, "y": 0, "w": width, "h": 5},
        targets=[_target(f"last_over_time(furnace_furnace_temp{{{match}}}[10m])", furnace.id)],
    )


def render(studio: Studio) -> dict[str, Artifact]:
    furnaces = studio.furnaces
    width = max(24 // min(len(furnaces), 6), 4)
    panels = [
        _now(number, (number - 1) % (24 // width) * width, width, furnace, studio.name)
        for number, furnace in enumerate(furnaces, 1)
    ]
    match = f"studio={metricsql(studio.name)}"
    panels += [
        _panel(
            101,
            "timeseries",
            "Temperatures",
            "Every furnace with its limits.",
            "celsius",
            gridPos={"x": 0, "y": 5, "w": 24, "h": 10},
            targets=[
                _target(f"furnace_furnace_temp{{{match}}}", "{{label}}"),
                _target(f"furnace_limit_low{{{match}}}", "{{furnace}} low", "B"),
                _target(f"furnace_limit_high{{{match}}}", "{{furnace}} high", "C"),
            ],
        ),
        _panel(
            102,
            "timeseries",
            "Flame voltage",
            "Mean of each second of the flame sensors.",
            "volt",
            gridPos={"x": 0, "y": 15, "w": 24, "h": 8},
            targets=[_target(f"furnace_flame_voltage{{{match}}}", "{{label}}")],
        ),
    ]
    dashboard = {
        "uid": f"furnaces-{studio.name}"[:40],
        "title": f"Furnaces: {studio.display_name}",
        "tags": ["sensor-pipeline", "shop"],
        "timezone": "browser",
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}]
        },
        "panels": panels,
    }
    return {PATH: Artifact.text(to_json(dashboard))}
