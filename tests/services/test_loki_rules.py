"""The log rules, by Loki's own code: what the hub writes goes through Promtail's and Alloy's stages into the rules."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import loki_cases
import loki_support
import pytest
from loki_cases import CASES, Case

from hub.logs import LogWriter
from hub.metrics import Metrics
from hub.provision.eventlog import EventLog
from hub.provision.events import ProvisionEvents
from studio.model import Studio, load_studio
from studio.render import loki, render

FROM = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTES = 120
HUB_UNIT = {"__journal__systemd_user_unit": "hub.service", "__journal__systemd_unit": "user@1001.service"}
JOBS = {"promtail": ("projectplant_provisioning", "journal"), "alloy": ("provisioning", "journal")}
SHIPPING = {"loki_url": "https://logs.example.net/loki/api/v1/push"}
LAB = load_studio("lab")
STUDIO = Studio.model_validate({**LAB.model_dump(), "logs": {**LAB.logs.model_dump(), **SHIPPING}})


class Clock:
    """The hub's clock, where a test puts it."""

    def __init__(self) -> None:
        self.minute = 0.0

    def __call__(self) -> int:
        return int((FROM + timedelta(minutes=self.minute)).timestamp() * 1000)


@pytest.fixture(scope="module")
def clock() -> Iterator[Clock]:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hub.provision.eventlog.now_ms", clock)
        patch.setattr("hub.logs.now_ms", clock)
        yield clock


def written(case: Case, clock: Clock, folder: Path) -> tuple[list[str], list[str]]:
    """The lines of the hub's event log and of its own log."""
    lost: list[int] = []
    events, own = folder / "events.jsonl", folder / "hub.log"
    event_log = EventLog(events, lost.append)
    fd = os.open(own, os.O_WRONLY | os.O_CREAT)
    log = LogWriter(fd)
    noted = ProvisionEvents(event_log, Metrics())
    for minute, step in sorted(case.steps, key=lambda step: step[0]):
        clock.minute = minute
        step(noted, log)
    event_log.close()
    log.close()
    os.close(fd)
    assert lost == []
    return (events.read_text().splitlines() if events.exists() else []), own.read_text().splitlines()


@pytest.fixture(scope="module")
def logs(clock: Clock, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[list[str], list[str]]]:
    """The lines of every case."""
    return [written(case, clock, tmp_path_factory.mktemp("log")) for case in CASES]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is rendered for a studio that ships its logs."""
    folder = tmp_path_factory.mktemp("rendered")
    for path, artifact in render(STUDIO).files.items():
        if path.startswith(("loki/", "promtail/", "alloy/")):
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(artifact.content)
    return folder


def pipelines(files: Path, by: str) -> list[Path]:
    return sorted((files / by).iterdir())


def plays(logs: list[tuple[list[str], list[str]]], by: str) -> list[dict[str, Any]]:
    provisioning, journal = JOBS[by]
    return [
        {
            "name": case.name,
            "from": FROM.isoformat(),
            "minutes": MINUTES,
            "logs": [
                {"job": provisioning, "labels": {}, "lines": events},
                {"job": journal, "labels": HUB_UNIT, "lines": own},
            ],
        }
        for case, (events, own) in zip(CASES, logs, strict=True)
    ]


@pytest.fixture(scope="module")
def told(files: Path, logs: list[tuple[list[str], list[str]]]) -> dict[tuple[str, str], dict[str, Any]]:
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
    assert {alert["alert"] for alert in found["alerts"]} == case.raises


@pytest.mark.parametrize("by", JOBS)
def test_an_alert_ends_when_its_cause_does(by: str, told: Told) -> None:
    for case in CASES:
        for alert in told[by, case.name]["alerts"]:
            assert MINUTES not in alert["minutes"], f"{case.name}: {alert['alert']} fires for ever"


@pytest.mark.parametrize("by", JOBS)
def test_the_given_rule_fires_after_ten_minutes_of_timeouts(by: str, told: Told) -> None:
    (alert,) = told[by, "timeouts for half an hour among more successes"]["alerts"]
    assert (alert["minutes"][0], alert["minutes"][-1]) == (11, 35)
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
