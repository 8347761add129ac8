"""Figures of what is counted: also when one half of it never happened, so has no series."""

import json
from pathlib import Path
from typing import Any

import pytest

from dashboards.queries import expanded, targets
from dashboards.recorded import EVERY_SECONDS
from lab.plain import parts
from lab.rules.tool import unittest
from studio.model import load_studio
from studio.render.grafana import render
from studio.render.recorded import GROUP, rules

pytestmark = pytest.mark.services
STEP = 15
MINUTE = 60 // STEP
AT = "30m"
HOURS_6, DAYS_3 = 6 * 3_600, 3 * 86_400
TAGS = 'studio="lab",job="hub",device_site="home",protocol="fcm"'
RUNS = {how: f'runner_{how}_total{{{TAGS},status="{how}"}}' for how in ("start", "error")}
WAITS = {
    how: f'provision_waits_total{{studio="lab",job="hub",method="ble",outcome="{how}"}}'
    for how in ("success", "cached", "timeout")
}
NOBODY = None


def counted(times: int) -> str:
    """A counter that is not there for ten minutes, since nothing happened; then so much happens at once."""
    return f"_x{10 * MINUTE} {times}x{30 * MINUTE}"


def judge(title: str, series: dict[str, str], told: list[dict[str, Any]], shown: int, folder: Path) -> None:
    """Assert what the figure of a panel tells after half an hour, when it shows the last so many seconds."""
    boards = (json.loads(artifact.content) for artifact in render(load_studio("lab")).values())
    (figure,) = [t for board in boards for t in targets(board) if t.panel == title]
    test = {
        "interval": f"{STEP}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "metricsql_expr_test": [{"expr": expanded(figure.expr, shown), "eval_time": AT, "exp_samples": told}],
    }
    group = {"name": GROUP, "interval": f"{EVERY_SECONDS}s", "rules": rules(load_studio("lab"))}
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": f"{EVERY_SECONDS}s", "tests": [test]}
    verdict = unittest(parts.build_root(), folder, {"groups": [group]}, tests)
    assert verdict.passed, verdict.said


@pytest.mark.parametrize("shown", [HOURS_6, DAYS_3], ids=["hours", "days"])
@pytest.mark.parametrize(
    ("title", "happened", "share"),
    [
        ("Runs that failed", {RUNS["start"]: 5, RUNS["error"]: 5}, 1),
        ("Runs that failed", {RUNS["start"]: 8, RUNS["error"]: 2}, 0.25),
        ("Runs that failed", {RUNS["start"]: 5}, 0),
        ("Runs that failed", {}, NOBODY),
        ("Waits that ended well", {WAITS["timeout"]: 5}, 0),
        ("Waits that ended well", {WAITS["timeout"]: 2, WAITS["success"]: 5, WAITS["cached"]: 1}, 0.75),
        ("Waits that ended well", {WAITS["success"]: 5}, 1),
        ("Waits that ended well", {}, NOBODY),
    ],
)
def test_a_share_is_told_whichever_half_never_happened(
    title: str, happened: dict[str, int], share: float | None, shown: int, tmp_path: Path
) -> None:
    told = [] if share is NOBODY else [{"labels": '{studio="lab"}', "value": share}]
    judge(title, {name: counted(times) for name, times in happened.items()}, told, shown, tmp_path)


def test_unusable_messages_are_counted_as_their_alert_does(tmp_path: Path) -> None:
    """By kind and reason: many small numbers are no alert, so no colour."""
    happened = {("furnace", "not_json"): 8, ("furnace", "unknown_device"): 7, ("camera", "not_json"): 6}
    series = {
        f'vector_dead_letters_total{{studio="lab",kind="{kind}",reason="{reason}"}}': f"0x{25 * MINUTE} {times}x99"
        for (kind, reason), times in happened.items()
    }
    judge("Unusable", series, [{"labels": "{}", "value": 8}], HOURS_6, tmp_path)
