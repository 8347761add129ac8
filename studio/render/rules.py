"""The alert catalogue (alerts/*.yaml) for one studio: vmalert's rule groups.

An entry's `expr` and `description` have `<<name>>` where a value of the inventory goes. The value is quoted for the
syntax around it, whatever it is, so an entry can be written without a thought of escaping.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import yaml

from studio.model import Furnace, Studio
from studio.paths import ROOT
from studio.render.escape import go_template, metricsql

ALERTS: Final = ROOT / "alerts"
PLACEHOLDER: Final = re.compile(r"<<([a-z_]+)>>")
RUNBOOK: Final = "alerts/runbooks.md"
GROUPS: Final = ("shop", "system")
INTERVAL_SECONDS: Final = 15
KEYS: Final = frozenset({"alert", "each", "types", "severity", "expr", "for", "summary", "description"})

Values = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Duration:
    """A MetricsQL duration such as 10m; the only value that goes into an expression unquoted."""

    minutes: int


@dataclass(frozen=True, slots=True)
class Alert:
    """An entry of the catalogue."""

    name: str
    each: str
    types: tuple[str, ...]
    severity: str
    expr: str
    hold: str | None
    summary: str
    description: str


def _read(group: str) -> list[Alert]:
    entries = yaml.load((ALERTS / f"{group}.yaml").read_bytes(), Loader=yaml.CSafeLoader)
    alerts = []
    for entry in entries:
        unknown = sorted(set(entry) - KEYS)
        if unknown:
            raise ValueError(f"alerts/{group}.yaml: {entry.get('alert')} has unknown keys: {', '.join(unknown)}")
        alerts.append(
            Alert(
                name=entry["alert"],
                each=entry.get("each", "studio"),
                types=tuple(entry.get("types", [group])),
                severity=entry["severity"],
                expr=entry["expr"],
                hold=entry.get("for"),
                summary=entry["summary"],
                description=entry["description"],
            )
        )
    return alerts


@cache
def catalogue() -> dict[str, list[Alert]]:
    """Every alert by its group."""
    return {group: _read(group) for group in GROUPS}


def _fill(text: str, values: Mapping[str, Any], quote: Callable[[Any], str]) -> str:
    return PLACEHOLDER.sub(lambda match: quote(values[match.group(1)]), text)


def _in_expression(value: str | int | float | Duration) -> str:
    return f"{value.minutes}m" if isinstance(value, Duration) else metricsql(value)


def _in_text(value: str | int | float) -> str:
    return go_template(value) if isinstance(value, str) else f"{value:g}"


def _furnace_values(furnace: Furnace) -> dict[str, Any]:
    flame = furnace.flame_voltage
    values: dict[str, Any] = {
        "furnace": furnace.id,
        "label": furnace.title,
        "low": furnace.low_celsius,
        "high": furnace.high_celsius,
        "no_data": Duration(furnace.no_data_minutes),
        "no_data_minutes": furnace.no_data_minutes,
    }
    return values if flame is None else {**values, "flame_low": flame.low, "flame_erratic": flame.erratic}


def _subjects(studio: Studio) -> dict[str, list[dict[str, Any]]]:
    """For each value of `each`: the values of every rule that an entry makes."""
    whole: dict[str, Any] = {"studio": studio.name, "title": studio.display_name}
    on = [f for f in studio.furnaces if not f.off]
    furnaces = [{**whole, **_furnace_values(f)} for f in on]
    several = {
        **whole,
        # Ids have nothing in them that a regular expression reads as more than a letter.
        "furnaces_pattern": "|".join(f.id for f in on),
        "no_data_first": Duration(min((f.no_data_minutes for f in on), default=1)),
    }
    return {
        "studio": [whole],
        "furnace": furnaces,
        "flame": [values for values in furnaces if "flame_low" in values],
        "furnaces": [several] if len(on) > 1 else [],
    }


def _rules(alert: Alert, subjects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for values in subjects:
        expr = _fill(alert.expr, values, _in_expression)
        description = _fill(alert.description, values, _in_text)
        subject = {"furnace": values["furnace"]} if "furnace" in values else {}
        for kind in alert.types:
            yield {
                "alert": alert.name,
                "expr": expr,
                **({"for": alert.hold} if alert.hold else {}),
                "labels": {"type": kind, "severity": alert.severity, **subject},
                "annotations": {
                    "summary": alert.summary,
                    "description": description,
                    "runbook_url": f"{RUNBOOK}#{alert.name.lower()}",
                },
            }


def _limits(studio: Studio) -> list[dict[str, Any]]:
    """The inventory as series, for dashboards: limits in °C, and which furnaces are expected to send."""
    return [
        {"record": record, "expr": f"vector({value!r})", "labels": {"furnace": furnace.id}}
        for furnace in studio.furnaces
        for record, value in (
            ("furnace_limit_low", furnace.low_celsius),
            ("furnace_limit_high", furnace.high_celsius),
            ("furnace_expected", 0 if furnace.off else 1),
        )
    ]


def names(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    """The names of alerts and recorded series by group, each once."""
    return {group: list(dict.fromkeys(r.get("alert") or r["record"] for r in rules)) for group, rules in found.items()}


def groups(studio: Studio) -> dict[str, list[dict[str, Any]]]:
    """The rules of a studio by group: `shop`, `system`, `inventory`; groups without rules are left out."""
    subjects = _subjects(studio)
    found = {
        group: [rule for alert in alerts for rule in _rules(alert, subjects[alert.each])]
        for group, alerts in catalogue().items()
    }
    return {name: rules for name, rules in {**found, "inventory": _limits(studio)}.items() if rules}
