"""The cases of the alert rules, alerts/tests/*.yaml: what is stored, and when an alert fires or stays silent."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import yaml

from lab.rules.values import Sample, samples, seconds
from studio.paths import ROOT
from studio.render.catalogue import GROUPS

CASES: Final = ROOT / "alerts/tests"
KEYS: Final = frozenset({"case", "step", "every", "series", "silent", "fires", "labels", "says", "subject", "except"})
STEP: Final = "15s"


@dataclass(frozen=True)
class Case:
    """One story: samples of some series, and what is expected of one rule at some moments (seconds from the start).

    Attributes:
        every: how often the rule is evaluated, seconds.
        subject: labels that choose among the rules which the inventory makes of one entry.
        labels: what the alert carries besides the rule's own labels.
        says: its description at the last moment that fires.
        spared: hazards that this case is not put to, each with the reason.
    """

    rule: str
    name: str
    step: int
    every: int
    series: dict[str, list[Sample]]
    silent: tuple[int, ...]
    fires: tuple[int, ...]
    subject: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    says: str | None = None
    spared: dict[str, str] = field(default_factory=dict)


def _case(rule: str, group: str, entry: dict[str, Any]) -> Case:
    if unknown := sorted(set(entry) - KEYS):
        raise ValueError(f"alerts/tests/{group}.yaml: {rule} has unknown keys: {', '.join(unknown)}")
    step = seconds(entry.get("step", STEP))
    return Case(
        rule=rule,
        name=entry["case"],
        step=step,
        every=seconds(entry.get("every", f"{GROUPS[group]}s")),
        series={name: samples(text, step) for name, text in entry.get("series", {}).items()},
        silent=tuple(seconds(at) for at in entry.get("silent", ())),
        fires=tuple(seconds(at) for at in entry.get("fires", ())),
        subject=entry.get("subject", {}),
        labels=entry.get("labels", {}),
        says=entry.get("says"),
        spared=entry.get("except", {}),
    )


def _read() -> Iterator[tuple[str, list[Case]]]:
    for group in GROUPS:
        found = yaml.load((CASES / f"{group}.yaml").read_bytes(), Loader=yaml.CSafeLoader)
        for rule, entries in found.items():
            yield rule, [_case(rule, group, entry) for entry in entries]


@cache
def cases() -> dict[str, list[Case]]:
    """Every case by the name of its rule."""
    return dict(_read())
