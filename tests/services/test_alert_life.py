"""Simulated days of a studio in a real VictoriaMetrics, and the rules over them by `vmalert -replay`."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from alert_support import EPOCH, asked, lines, replay, replayed, samples, store, studio, victoriametrics

from lab.plain import parts
from lab.simulator.day import EXPECTED, bad_day
from lab.simulator.life import DAY, HOUR, clean_life
from studio.cli import replay as command
from studio.cli.app import run
from studio.host.reach import Answer
from studio.render import rules
from studio.render.vmalert import rule_files
from studio.replay.episodes import Episode

pytestmark = pytest.mark.services
STUDIO = studio()
WEEK = 7 * DAY


@pytest.fixture(scope="module")
def root() -> Path:
    return parts.build_root()


@pytest.fixture(scope="module")
def day(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A VictoriaMetrics with the bad day in it."""
    with victoriametrics(root, tmp_path_factory.mktemp("day")) as url:
        store(url, bad_day(STUDIO), DAY)
        yield url


@pytest.fixture(scope="module")
def told(root: Path, day: str) -> list[Episode]:
    return replayed(root, STUDIO, day, DAY)


def test_a_bad_day_raises_the_expected_alerts_each_once_and_no_others(told: list[Episode]) -> None:
    assert sorted((e.alert, e.about, e.begin > EPOCH + 12 * HOUR) for e in told) == sorted(
        (e.alert, e.about, e.earliest > 12 * HOUR) for e in EXPECTED
    )


def test_each_begins_when_it_should(told: list[Episode]) -> None:
    found = {(e.alert, e.about, e.begin > EPOCH + 12 * HOUR): e.begin - EPOCH for e in told}
    for expected in EXPECTED:
        begin = found[expected.alert, expected.about, expected.earliest > 12 * HOUR]
        assert expected.earliest <= begin <= expected.latest, expected.alert


def test_each_ends_when_its_cause_has_ended(told: list[Episode]) -> None:
    assert max(e.end for e in told) < EPOCH + 22 * HOUR
    assert all(e.seconds <= 2.5 * HOUR for e in told)


def test_a_replay_changes_nothing_that_is_stored(root: Path, day: str) -> None:
    before = samples(day)
    assert replayed(root, STUDIO, day, DAY)
    assert samples(day) == before


def test_a_clean_week_raises_no_alert(root: Path, tmp_path: Path) -> None:
    with victoriametrics(root, tmp_path) as url:
        assert store(url, clean_life(STUDIO), WEEK) > 2_000_000
        # With the watchdog, which tells that the rules were evaluated all the time.
        every = {f"{name}.yml": text for name, text in rule_files(STUDIO, rules.groups(STUDIO)).items()}
        found = lines(replay({**asked(root, STUDIO, url, WEEK), "rules": every}))
    (watchdog,) = [json.loads(line) for line in found]
    assert watchdog["metric"]["alertname"] == "Watchdog"
    assert len(watchdog["values"]) > 0.99 * WEEK / 15


def test_what_vmalert_cannot_read_is_told_in_its_words(root: Path, day: str) -> None:
    broken = {
        **asked(root, STUDIO, day, DAY),
        "rules": {"broken.yml": "groups: [{name: x, rules: [{alert: A, expr: ')'}]}]"},
    }
    done = replay(broken)
    assert done.returncode == 1
    assert done.stderr.startswith("vmalert could not replay:")
    assert "broken.yml" in done.stderr
    assert "\t" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_time_of_which_nothing_is_stored_is_told(root: Path, day: str) -> None:
    done = replay({**asked(root, STUDIO, day, DAY), "from": "2001-01-01T00:00:00Z", "to": "2001-01-02T00:00:00Z"})
    assert (done.returncode, json.loads(done.stdout)) == (0, {"stored": None, "alerts": ""})


SPARSE = 300


@pytest.fixture
def young(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A studio of five days whose furnaces never sent anything, on a host that is this machine."""
    with victoriametrics(root, tmp_path) as url:
        stamps = [(EPOCH + DAY + at) * 1000 for at in range(0, 5 * DAY, SPARSE)]
        labels = {"__name__": "plant_moisture", "studio": STUDIO.name, "plant": "fern"}
        line = json.dumps({"metric": labels, "values": [45] * len(stamps), "timestamps": stamps})
        requests.post(f"{url}/api/v1/import", data=line, timeout=60).raise_for_status()
        requests.get(f"{url}/internal/force_flush", timeout=60).raise_for_status()
        plain = {
            k: v for k, v in asked(root, STUDIO, url, 1).items() if k in {"source", "storage", "vmalert", "cleanup"}
        }

        def run_there(_studio: Any, _argv: list[str], *, stdin: bytes, timeout: float) -> Answer:
            done = replay({**json.loads(stdin), **plain})
            return Answer(done.returncode, done.stdout.encode(), done.stderr.strip())

        monkeypatch.setattr(command, "run_deployed", run_there)
        yield url


def test_what_fires_for_days_is_one_episode_that_begins_with_what_is_stored(
    young: str, capsys: pytest.CaptureFixture[str]
) -> None:
    since, until = (datetime.fromtimestamp(EPOCH + at, UTC).isoformat() for at in (0, 6 * DAY))
    assert run(["replay", "lab", "--from", since, "--to", until, "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    never = [e for e in found if e["alert"] == "FurnaceNoDataExpected"]
    assert [e["labels"]["furnace"] for e in never] == ["glory-hole", "main"]
    for episode in never:
        assert 15 * 60 <= episode["begin"] - EPOCH - DAY <= 16 * 60
        assert EPOCH + 6 * DAY - episode["end"] < 60
    assert min(e["begin"] for e in found) > EPOCH + DAY
    assert said.err.startswith("1/6  ")
    assert "nothing is stored before" in said.err.splitlines()[-1]


def test_a_storage_that_is_not_there_is_told(root: Path, day: str) -> None:
    what = {**asked(root, STUDIO, day, DAY), "storage": ["/bin/false"]}
    done = replay(what)
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "the throw-away VictoriaMetrics does not start:")
