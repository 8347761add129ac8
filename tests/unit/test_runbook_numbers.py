"""The numbers that a runbook page gives of its alert are the rule's own; they are written by hand."""

import re
from typing import Any

import pytest

from studio.model import load_studio
from studio.paths import ROOT
from studio.render import loki, rules

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
WORDS = {
    **{"half": 0.5, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9},
    **{"ten": 10, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50},
}
SPELT = {
    "half an hour": "30 minutes",
    "a quarter of an hour": "15 minutes",
    "a week": "7 days",
    "the week": "7 days",
    "a tenth": "10 %",
}
NUMBER = re.compile(rf"(?<![\w.-])(\d[\d,]*(?:\.\d+)?|{'|'.join(WORDS)})\b(?: (s|minute|hour|day)s?\b| (%))?")
STARTING = " unless on() (max_over_time(absent_over_time(up{"
"""What comes after it in an expression is about a start of the storage, of which no page speaks."""
OF_SOMETHING_ELSE = {
    "HostHot": {80},  # °C at which a Raspberry Pi slows itself down
    "StorageReadOnly": {500},  # MB, a default of VictoriaMetrics
    "VectorDown": {100_000},  # messages that the broker queues
    "ProvisioningWaitsStuck": {600},  # s, the longest that a wait lasts
}


def found_rules() -> dict[str, dict[str, Any]]:
    """One rule for each alert, as it is rendered; vmalert's and Loki's."""
    told = [rule for group in rules.groups(load_studio("lab")).values() for rule in group]
    told += [rule for groups in loki.catalogue().values() for group in groups for rule in group["rules"]]
    return {rule["alert"]: rule for rule in told if "alert" in rule}


RULES = found_rules()


def numbers(text: str) -> set[float]:
    """What a text says in numbers: times in seconds, percentages as parts of one."""
    for words, plain in SPELT.items():
        text = text.replace(words, plain)
    text = re.sub(r"(\d+) to (\d+) (\w+)", r"\1 \3, \2 \3", re.sub(r"`[^`]*`", "", text))
    said = set()
    for number, unit, percent in NUMBER.findall(text):
        value = WORDS.get(number) or float(number.replace(",", ""))
        said.add(value / 100 if percent else value * SECONDS.get(unit[:1], 1))
    return said


def own(rule: dict[str, Any]) -> set[float]:
    """What a rule says: its numbers, its spans of time, and how long it takes until it fires."""
    expr = re.sub(r'"[^"]*"', "", rule["expr"].partition(STARTING)[0])
    spans = {float(n) * SECONDS[unit] for n, unit in re.findall(r"(?<![\w.])(\d+)([smhd])\b", expr)}
    plain = {float(n) for n in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])", expr)}
    hold = {float(n) * SECONDS[unit] for n, unit in re.findall(r"(\d+)([smhd])", rule.get("for", ""))}
    steps = {float(n) * SECONDS[unit] for n, unit in re.findall(r":(\d+)([smhd])\]", expr)}
    return plain | spans | hold | {a + b for a in spans for b in hold} | {n * step for n in plain for step in steps}


def meaning(alert: str) -> str:
    page = (ROOT / f"docs/runbook/{alert}.md").read_text()
    return page.partition("## What it means\n")[2].partition("\n## ")[0]


def unfounded(alert: str, text: str) -> set[float]:
    said = {round(number, 9) for number in numbers(text)}
    return said - {round(number, 9) for number in own(RULES[alert])} - OF_SOMETHING_ELSE.get(alert, set())


@pytest.mark.parametrize("alert", RULES)
def test_what_a_page_gives_in_numbers_is_its_rules(alert: str) -> None:
    assert unfounded(alert, meaning(alert)) == set()


def test_there_are_numbers() -> None:
    assert sum(bool(numbers(meaning(alert))) for alert in RULES) > 25


@pytest.mark.parametrize(
    ("alert", "text", "wrong"),
    [
        ("HostHot", "The host is above 79 °C.", 79),
        ("HostMemoryLow", "Less than 9 % of the memory is available.", 0.09),
        ("HostBusy", "The processors were more than 90 % busy for a quarter of an hour.", 900),
        ("TargetDown", "Its metrics have not answered for four minutes.", 240),
        ("RunnerErrors", "More than half of the commands, and four at least, failed in 30 minutes.", 4),
        ("PipelineCanaryMissing", "No test message has come through for two minutes.", 120),
        ("HubErrors", "More than six requests failed within ten minutes.", 6),
    ],
)
def test_a_number_of_another_rule_is_found(alert: str, text: str, wrong: float) -> None:
    assert unfounded(alert, text) == {wrong}
