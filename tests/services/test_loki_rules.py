"""The log rules, by Loki's own code: what the hub writes goes through Promtail's and Alloy's stages into the rules."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import loki_cases
import loki_support
import pytest
from loki_cases import CASES, Case
from loki_written import FROM, HUB_UNIT, JOBS, Lines, pipelines, plays, rendered, written

from lab.rules.mutants import mutants
from studio.render import loki
from studio.render.yaml_text import to_yaml

MOST_MUTANTS = 0.9


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[Lines]:
    """The lines of every case."""
    return [written(case, tmp_path_factory.mktemp("log")) for case in CASES]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rendered(tmp_path_factory.mktemp("rendered"))


@pytest.fixture(scope="module")
def told(files: Path, logs: list[Lines]) -> dict[tuple[str, str], dict[str, Any]]:
    """What became of each case, by collector and name."""
    rules = sorted((files / "loki").iterdir())
    return {
        (by, one["name"]): one for by in JOBS for one in loki_support.play(pipelines(files, by), rules, plays(logs, by))
    }


Told = dict[tuple[str, str], dict[str, Any]]


def test_every_rule_has_a_case_that_fires_and_one_that_stays_silent_on_lines_that_are_there() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    for name in loki.names():
        own = [case for case in CASES if case.rule == name]
        assert {case.fires for case in own} == {True, False}, name
        assert all(case.steps for case in own)


@pytest.mark.parametrize("by", JOBS)
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.rule}: {c.name}")
def test_the_rules_fire_as_they_should_and_no_others(case: Case, by: str, told: Told) -> None:
    found = told[by, case.name]
    assert len(found["entries"]) == len(case.steps)
    fired = [(alert["alert"], alert["minutes"][0], alert["minutes"][-1]) for alert in found["alerts"]]
    assert fired == ([(case.rule, *case.minutes)] if case.minutes else [])


@pytest.mark.parametrize("by", JOBS)
def test_the_given_rule_fires_with_its_labels_and_words(by: str, told: Told) -> None:
    (alert,) = told[by, "timeouts for half an hour among more successes"]["alerts"]
    assert alert["labels"] == {
        "alertname": loki_cases.TIMEOUTS, "severity": "warning", "team": "projectplant",
    }  # fmt: skip
    assert alert["annotations"]["summary"] == "Provisioning timeouts detected"


@pytest.mark.parametrize("by", JOBS)
def test_an_alert_tells_which_method_and_how_much(by: str, told: Told) -> None:
    (ratio,) = told[by, "one method fails, the other one's many successes hide nothing"]["alerts"]
    assert ratio["labels"]["method"] == "ble"
    assert "100% of the provisioning attempts by ble" in ratio["annotations"]["description"]
    (slow,) = told[by, "slow by SoftAP only"]["alerts"]
    assert slow["annotations"]["description"].endswith("by softap in the last hour took longer than 45 s.")
    (many,) = told[by, "31 refusals"]["alerts"]
    assert many["annotations"]["description"] == "31 requests were refused in 10 minutes (sec.admin.denied)."


def test_alloy_names_the_studio_and_promtails_snippet_does_not(told: Told) -> None:
    name = "three waits, none ends"
    assert told["alloy", name]["alerts"][0]["labels"]["studio"] == "lab"
    assert "studio" not in told["promtail", name]["alerts"][0]["labels"]


@pytest.mark.parametrize("by", JOBS)
def test_an_event_reaches_loki_at_its_own_time_with_the_labels_as_given(by: str, told: Told) -> None:
    found = told[by, "retained states of known devices, waits time out"]["entries"]
    studio = {"studio": "lab"} if by == "alloy" else {}
    assert found[0]["labels"] == {**studio, "job": "provisioning", "event": "state_message", "retained": "true"}
    assert found[0]["time"] == "2026-03-02T12:01:00Z"
    assert found[1]["labels"] == {**studio, "job": "provisioning", "event": "wait_timeout", "method": "ble"}
    assert found[1]["time"] == "2026-03-02T12:05:30Z"
    # No device, no number and no id is ever a label of a stream: that would make a stream for each.
    assert {name for one in told.values() for entry in one["entries"] for name in entry["labels"]} == {
        "job", "studio", "event", "method", "retained", "unit", "level",
    }  # fmt: skip


def test_alloy_keeps_what_is_no_label_as_structured_metadata(told: Told) -> None:
    (entry, *_) = told["alloy", "only successes"]["entries"]
    assert entry["metadata"] == {"device_id": "AABBCC112233", "elapsed": "4.2"}


@pytest.mark.parametrize("by", JOBS)
def test_the_hubs_lines_are_found_in_the_journal_by_their_unit(by: str, files: Path) -> None:
    def passed(labels: dict[str, str], line: str) -> dict[str, Any]:
        log = {"job": "journal", "labels": labels, "lines": [line]}
        case = {"name": "one", "from": FROM.isoformat(), "minutes": 0, "logs": [log]}
        (told,) = loki_support.play(pipelines(files, by), [], [case])
        (entry,) = told["entries"]
        found: dict[str, Any] = entry
        return found

    line = '{"ts":"2026-03-02T12:00:00.250Z","level":"info","event":"register.success","request_id":"r-1"}'
    hub = passed(HUB_UNIT, line)
    assert hub["labels"] == {"job": "hub", "level": "info", "studio": "lab", "unit": "hub.service"}
    assert hub["metadata"] == {"event": "register.success", "request_id": "r-1"}
    assert hub["time"] == "2026-03-02T12:00:00.25Z"
    monit = passed({"__journal__systemd_unit": "monit.service"}, line)
    assert monit["labels"] == {"job": "journal", "studio": "lab", "unit": "monit.service"}
    assert monit["metadata"] == {}
    assert passed(HUB_UNIT, "Traceback: no JSON")["labels"] == {"job": "hub", "studio": "lab", "unit": "hub.service"}


def test_mutants_of_the_rules_are_caught(files: Path, logs: list[Lines], tmp_path: Path) -> None:
    every = {rule["alert"]: rule for groups in loki.catalogue().values() for g in groups for rule in g["rules"]}
    found = [mutant for name, rule in every.items() for mutant in mutants(name, [rule])]
    rules = [{**mutant.rules[0], "alert": f"Mutant{number}"} for number, mutant in enumerate(found)]
    file = tmp_path / "mutants.yaml"
    file.write_text(to_yaml({"groups": [{"name": "mutants", "rules": rules}]}))
    raised = defaultdict(set)
    for case in loki_support.play(pipelines(files, "promtail"), [file], plays(logs, "promtail")):
        for alert in case["alerts"]:
            raised[alert["alert"]].add((case["name"], alert["minutes"][0], alert["minutes"][-1]))
    wanted = {name: {(c.name, *c.minutes) for c in CASES if c.rule == name and c.minutes} for name in every}
    survivors = [m for number, m in enumerate(found) if raised[f"Mutant{number}"] == wanted[m.rule]]
    assert len(found) > 60
    print(f"{len(found) - len(survivors)} of {len(found)} mutants caught")
    told = "\n".join(f"{m.rule}: {m.change}" for m in survivors)
    assert len(survivors) <= (1 - MOST_MUTANTS) * len(found), told
