"""Every entry of the alert catalogue: its numbers have names, and its page says what a woken person needs."""

import re
from typing import Any

import pytest

from studio.model import load_studio
from studio.paths import ROOT
from studio.render import catalogue, loki, rules

LAB = load_studio("lab")
ENTRIES = [alert for group in catalogue.catalogue().values() for alert in group]
SILENCE = (
    "    sudo systemd-run --user -M studio@ -qP podman exec alertmanager "
    "amtool --alertmanager.url=http://127.0.0.1:9093 silence add"
)
SECTIONS = ["What it means", "How to check", "What to do", "How to silence"]


def only(name: str) -> list[dict[str, Any]]:
    return [r for found in rules.groups(LAB).values() for r in found if r.get("alert") == name]


@pytest.mark.parametrize("alert", ENTRIES, ids=lambda a: a.name)
def test_an_alert_leads_to_its_page(alert: catalogue.Alert) -> None:
    assert {r["annotations"]["runbook_url"] for r in only(alert.name)} == {f"docs/runbook/{alert.name}.md"}
    page = (ROOT / f"docs/runbook/{alert.name}.md").read_text()
    assert page.startswith(f"# {alert.name}\n")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == SECTIONS
    assert all(part.strip() for part in re.split(r"^#.*$", page, flags=re.MULTILINE)[2:])


@pytest.mark.parametrize("alert", [a for a in ENTRIES if a.name != "Watchdog"], ids=lambda a: a.name)
def test_a_page_silences_its_own_alert_and_by_a_label_that_it_has(alert: catalogue.Alert) -> None:
    how = (ROOT / f"docs/runbook/{alert.name}.md").read_text().split("## How to silence\n")[1]
    assert f"{SILENCE} \\\n      alertname={alert.name} --duration 2h" in how
    if re.search(r"\b(sum|count|max|min|avg)\b ?(by|\()", alert.expr):
        by = {label for labels in re.findall(r"\bby ?\(([^)]*)\)", alert.expr) for label in labels.split(", ")}
        assert set(re.findall(r"\(add `(\w+)=", how)) <= {*only(alert.name)[0]["labels"], *by}


def test_every_page_is_an_alerts() -> None:
    assert {path.stem for path in (ROOT / "docs/runbook").iterdir()} == {a.name for a in ENTRIES} | set(loki.names())


# What is in quotes, braces or `<<>>`, and durations.
NO_NUMBERS = r'"[^"]*"|\{[^{}]*\}|<<\w+>>|\[[\dsmhd:]+\]|offset \d+[smhd]'


def bare_numbers(expr: str) -> list[str]:
    """The numbers of an expression that have no name; 0 and 1 need none: they say nothing, or on and off."""
    found: list[str] = re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e\d+)?", re.sub(NO_NUMBERS, "", expr))
    return [number for number in found if float(number) not in (0, 1)]


@pytest.mark.parametrize("alert", ENTRIES, ids=lambda a: a.name)
def test_every_number_of_an_expression_has_a_name(alert: catalogue.Alert) -> None:
    assert bare_numbers(alert.expr) == []
    assert alert.values.keys() == {name for name in alert.values if f"<<{name}>>" in alert.expr}


def test_a_number_without_a_name_is_found() -> None:
    expr = 'avg_over_time(a{b="7",c=<<c>>}[5m:10s] offset 2h) / 3.5 > 78 and b2 >= <<threshold>> and on(c) d == 1'
    assert bare_numbers(expr) == ["3.5", "78"]
