"""Every rule of the catalogue on its cases (alerts/tests), evaluated by VictoriaMetrics' own vmalert-tool."""

from dataclasses import replace
from pathlib import Path

import pytest

from lab.plain import parts
from lab.rules.cases import cases
from lab.rules.hazards import in_weather
from lab.rules.score import GOAL, scores, share
from lab.rules.tool import judge, told_apart, trial
from lab.run import LabError
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


def test_every_rule_has_a_case_that_tells_its_words() -> None:
    """A description is a template: what it gives is judged with the case."""
    assert {rule for rule, own in cases().items() if any(c.says for c in own)} == set(entries())


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


def test_other_words_are_told(root: Path, tmp_path: Path) -> None:
    (case,) = [replace(case, says=f"{case.says}!") for case in cases()["HostHot"] if case.says]
    verdict = judge(root, tmp_path, [case], trial(LAB, "HostHot"))
    assert not verdict.passed
    assert "The host is at 85 °C.!" in verdict.said


def test_the_cases_of_every_rule_catch_its_mutants(root: Path) -> None:
    """What `python -m lab.rules` asks: nine of ten, of each rule."""
    found = list(scores(root, list(entries())))
    assert {score.rule for score in found} == set(entries())
    assert sum(score.mutants for score in found) > 400
    left = {score.rule: [m.change for m in score.survivors] for score in found if share([score]) < GOAL}
    assert left == {}


def test_a_rule_that_cannot_be_told_from_its_mutants_is_told(root: Path, tmp_path: Path) -> None:
    """A mutant that is no other than the rule survives; one that cannot be evaluated does not."""
    (case,) = [case for case in cases()["HostHot"] if case.name == "85 degrees"]
    own = trial(LAB, "HostHot")
    (rule,) = own.rules
    many = {**rule, "expr": "vector(1) * on(x) group_left() (label_set(1, 'y', '1') or label_set(1, 'y', '2'))"}
    variants = {"the same": [rule], "never": [{**rule, "expr": "vector(1) > 2"}], "no answer": [many]}
    assert told_apart(root, tmp_path, case, own, variants) == {"never", "no answer"}


def test_a_case_that_its_own_rule_fails_judges_no_mutant(root: Path, tmp_path: Path) -> None:
    case = replace(cases()["HostHot"][0], silent=(), fires=(60,))
    with pytest.raises(LabError, match="HostHot, 85 degrees: the rule itself does not hold"):
        told_apart(root, tmp_path, case, trial(LAB, "HostHot"), {})
