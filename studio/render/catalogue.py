"""The alert catalogue, alerts/*.yaml, as it is written: for no studio yet."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import yaml

from studio.paths import ROOT

ALERTS: Final = ROOT / "alerts"
# Each file is a group of rules, evaluated this often (seconds).
GROUPS: Final = {"shop": 10, "slow": 60, "system": 15}
KEYS: Final = frozenset(
    {"alert", "each", "types", "severity", "threshold", "values", "expr", "absence", "for", "inhibits", "same"}
    | {"summary", "description"}
)


@dataclass(frozen=True, slots=True)
class Alert:
    """An entry of the catalogue; `values` are the numbers of its expression besides the threshold, by name.

    `absence` is how long it waits for what is missing: seconds, or the name of a subject's duration.
    """

    name: str
    each: str
    types: tuple[str, ...]
    severity: str
    threshold: float | None
    values: dict[str, float]
    expr: str
    absence: int | str | None
    hold: str | None
    inhibits: tuple[str, ...]
    same: tuple[str, ...]
    summary: str
    description: str


def _alert(group: str, entry: dict[str, Any]) -> Alert:
    unknown = sorted(set(entry) - KEYS)
    if unknown:
        raise ValueError(f"alerts/{group}.yaml: {entry.get('alert')} has unknown keys: {', '.join(unknown)}")
    return Alert(
        name=entry["alert"],
        each=entry.get("each", "studio"),
        types=tuple(entry.get("types", [group])),
        severity=entry["severity"],
        threshold=entry.get("threshold"),
        values=entry.get("values", {}),
        expr=entry["expr"],
        absence=entry.get("absence"),
        hold=entry.get("for"),
        inhibits=tuple(entry.get("inhibits", ())),
        same=tuple(entry.get("same", ())),
        summary=entry["summary"],
        description=entry["description"],
    )


def read(group: str) -> list[Alert]:
    """The entries of one file; raises ValueError for a key that means nothing."""
    entries = yaml.load((ALERTS / f"{group}.yaml").read_bytes(), Loader=yaml.CSafeLoader)
    return [_alert(group, entry) for entry in entries]


@cache
def catalogue() -> dict[str, list[Alert]]:
    """Every alert by its group."""
    return {group: read(group) for group in GROUPS}


@cache
def entries() -> dict[str, Alert]:
    """Every alert by its name."""
    return {alert.name: alert for found in catalogue().values() for alert in found}


def threshold(name: str) -> float:
    """An alert's own threshold, in the unit of what its expression compares; for whoever draws it.

    A furnace's limits are not here: they are the model's (`low_celsius`, `high_celsius`, `flame_voltage`).
    """
    found = entries()[name].threshold
    if found is None:
        raise ValueError(f"{name} has no threshold of its own")
    return found
