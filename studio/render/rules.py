"""The alert catalogue (alerts/*.yaml) for one studio: vmalert's rule groups.

An entry's `expr` and `description` have `<<name>>` where a value of the inventory, its own threshold, or one of its own
values goes. It is quoted for the syntax around it, whatever it is, so an entry can be written without a thought of
escaping.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from studio.model import Studio
from studio.render.catalogue import GROUPS, Alert, catalogue
from studio.render.escape import go_template, metricsql
from studio.render.subjects import Duration, subjects

PLACEHOLDER: Final = re.compile(r"<<([a-z_]+)>>")
RUNBOOKS: Final = "docs/runbook"
INTERVAL_SECONDS: Final = 15
START_MINUTES: Final = 5
"""What a Raspberry Pi needs to bring everything up, and some more."""


def runbook(studio: Studio, alert: str) -> str:
    """Where an alert's page is: below the inventory's `alerts.runbooks`, else its path in this repository."""
    return f"{(studio.alerts.runbooks or RUNBOOKS).rstrip('/')}/{alert}.md"


def _fill(text: str, values: Mapping[str, Any], quote: Callable[[Any], str]) -> str:
    return PLACEHOLDER.sub(lambda match: quote(values[match.group(1)]), text)


def _in_expression(value: str | int | float | Duration) -> str:
    return str(value) if isinstance(value, Duration) else metricsql(value)


def _in_text(value: str | int | float | Duration) -> str:
    if isinstance(value, Duration):
        return f"{value.seconds // 60} minutes"
    return go_template(value) if isinstance(value, str) else f"{value:g}"


def _settled(studio: Studio, expr: str, absence: int | Duration) -> str:
    """The expression, but for the time after a start in which all is still coming up.

    Who has missed something for a while is heard when the storage itself has been there for that while and
    START_MINUTES more: it stores each 15 s that it is. Where nothing at all is stored now, there was no start.
    """
    there = f'up{{job="victoriametrics",studio={metricsql(studio.name)}}}[1m]'
    seconds = absence.seconds if isinstance(absence, Duration) else absence
    away = f"max_over_time(absent_over_time({there})[{Duration(seconds + 60 * START_MINUTES)}:30s])"
    return f"({expr}) unless on() ({away} and on() last_over_time({there}))"


def _rules(studio: Studio, alert: Alert, found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for subject in found:
        values = {**subject, **alert.values, "threshold": alert.threshold}
        expr = _fill(alert.expr, values, _in_expression)
        if alert.absence is not None:
            expr = _settled(studio, expr, subject[alert.absence] if isinstance(alert.absence, str) else alert.absence)
        description = _fill(alert.description, values, _in_text)
        for kind in alert.types:
            yield {
                "alert": alert.name,
                "expr": expr,
                **({"for": _fill(alert.hold, values, _in_expression)} if alert.hold else {}),
                "labels": {"type": kind, "severity": alert.severity, **subject["subject"]},
                "annotations": {
                    "summary": alert.summary,
                    "description": description,
                    "runbook_url": runbook(studio, alert.name),
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


def interval(group: str) -> int:
    """How often a group is evaluated, seconds."""
    return GROUPS.get(group, INTERVAL_SECONDS)


def groups(studio: Studio) -> dict[str, list[dict[str, Any]]]:
    """The rules of a studio by group: those of the catalogue and `inventory`; groups without rules are left out."""
    of = subjects(studio)
    found = {
        group: [rule for alert in alerts for rule in _rules(studio, alert, of[alert.each])]
        for group, alerts in catalogue().items()
    }
    return {name: rules for name, rules in {**found, "inventory": _limits(studio)}.items() if rules}
