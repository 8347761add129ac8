"""Every rule of the catalogue on its cases (alerts/tests), evaluated by VictoriaMetrics' own vmalert-tool."""

from pathlib import Path

import pytest

from lab.plain import parts
from lab.rules.__main__ import GOAL, every_mutant, survivors
from lab.rules.cases import cases
from lab.rules.hazards import in_weather
from lab.rules.tool import judge, trial
from studio.model import load_studio
from studio.render.catalogue import entries

pytestmark = pytest.mark.services
LAB = load_studio("lab")
ALWAYS = {"Watchdog"}


@pytest.fixture(scope="module")
def root() -> Path:
    """Debian's packages, unpacked."""
    return parts.build_root()


def test_every_rule_has_a_case_that_fires_and_one_that_stays_silent_on_data() -> None:
    found = cases()
    assert set(found) == set(entries())
    assert {rule for rule, own in found.items() if any(c.fires for c in own)} == set(found)
    silent = {rule for rule, own in found.items() if any(c.silent and not c.fires and c.series for c in own)}
    assert silent == set(found) - ALWAYS


@pytest.mark.parametrize("rule", entries())
def test_a_rule_fires_and_stays_silent_as_its_cases_say(rule: str, root: Path, tmp_path: Path) -> None:
    verdict = judge(root, tmp_path, cases()[rule], trial(LAB, rule))
    assert verdict.passed, verdict.said


@pytest.mark.parametrize("rule", entries())
def test_gaps_late_data_nan_and_restarts_change_nothing(rule: str, root: Path, tmp_path: Path) -> None:
    """Asked of the rule's first case that fires and its first that is silent."""
    firing = [case for case in cases()[rule] if case.fires][:1]
    silent = [case for case in cases()[rule] if not case.fires][:1]
    verdict = judge(root, tmp_path, [in_weather(case) for case in (*firing, *silent)], trial(LAB, rule))
    assert verdict.passed, verdict.said


def test_a_case_that_expects_the_wrong_thing_is_told(root: Path, tmp_path: Path) -> None:
    """What says that the tool is asked at all."""
    wrong = [case for case in cases()["FurnaceTempHigh"] if case.fires]
    verdict = judge(root, tmp_path, wrong, trial(LAB, "FurnaceTempLow"))
    assert not verdict.passed
    assert "FurnaceTempHigh" in verdict.said


def test_a_sample_of_the_rules_mutants_is_caught(root: Path) -> None:
    """All of them: python -m lab.rules"""
    found = every_mutant(list(entries()))[3::15]
    assert len(found) >= 25
    left = survivors(root, found)
    assert len(left) <= (1 - GOAL) * len(found), [(m.rule, m.change) for m in left]
