"""studio replay: what the host is asked, and what is made of its answer."""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from studio.cli import replay
from studio.cli.app import run
from studio.cli.dashboards_backfill import steps
from studio.cli.outcome import Stop
from studio.host.reach import Answer
from studio.model import load_studio
from studio.render import catalogue, recorded, rules
from studio.replay.episodes import episodes, timeline
from studio.replay.question import LONGEST_HOLD, POINTS, backfill, question, stretches

LAB = load_studio("lab")
# The package has a function of that name.
hostctl: Any = sys.modules["studio.host.hostctl"]
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def line(alert: str, seconds: list[int], **labels: str) -> str:
    metric = {"__name__": "ALERTS", "alertstate": "firing", "alertname": alert, "alertgroup": "shop", "studio": "lab"}
    stamps = [(int(BEGIN.timestamp()) + s) * 1000 for s in seconds]
    return json.dumps({"metric": {**metric, **labels}, "values": [1] * len(seconds), "timestamps": stamps})


LINES = [
    line("FlameOut", [60, 75, 90, 600, 615], furnace="main", type="shop", severity="critical", db="sensors"),
    line("FurnaceTempLow", [0, 15], furnace="main", type="shop", severity="critical"),
]


def test_episodes_are_runs_of_evaluations() -> None:
    found = [(e.alert, e.about, e.begin - BEGIN.timestamp(), e.seconds) for e in episodes(LINES)]
    assert found == [
        ("FurnaceTempLow", "furnace=main", 0, 15),
        ("FlameOut", "furnace=main", 60, 30),
        ("FlameOut", "furnace=main", 600, 15),
    ]


def test_one_missing_evaluation_does_not_end_an_episode() -> None:
    (found,) = episodes([line("FlameOut", [0, 10, 30, 40])])
    assert found.seconds == 40


def test_an_episode_may_be_told_in_parts_that_overlap() -> None:
    """As the stretches of a replay tell it."""
    (found,) = episodes([line("FlameOut", [0, 10, 20]), line("FlameOut", [20, 30, 40])])
    assert found.seconds == 40


def test_a_replay_is_done_in_stretches_that_no_hold_is_longer_than_what_they_share() -> None:
    found = list(stretches(BEGIN, BEGIN + timedelta(days=2, hours=6)))
    hours = [((a - BEGIN) / HOUR, (b - BEGIN) / HOUR) for a, b in found]
    assert hours == [(0, 24), (23, 48), (47, 54)]
    assert list(stretches(BEGIN, BEGIN + HOUR)) == [(BEGIN, BEGIN + HOUR)]
    holds = [re.fullmatch(r"(\d+)([smh])", alert.hold) for alert in catalogue.entries().values() if alert.hold]
    units = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": HOUR}
    assert max(int(hold[1]) * units[hold[2]] for hold in holds if hold) <= LONGEST_HOLD
    # One question a rule and stretch.
    assert max((b - a).total_seconds() for a, b in found) / min(catalogue.GROUPS.values()) < POINTS


def test_the_watchdog_is_left_out() -> None:
    text = "".join(question(LAB, BEGIN, NOW)["rules"].values())
    assert "alert: DeliveryFailing" in text
    assert "alert: Watchdog" not in text


def test_the_timeline_is_black_where_an_alert_fires() -> None:
    begin = BEGIN.timestamp()
    bars = timeline(episodes(LINES), begin, begin + 1000, 10)
    assert bars["FlameOut", "furnace=main"] == "█·····█···"
    assert bars["FurnaceTempLow", "furnace=main"] == "█·········"


def test_the_rules_are_those_of_the_inventory() -> None:
    asked = question(LAB, BEGIN, NOW)
    assert {name.removesuffix(".yml") for name in asked["rules"]} == set(rules.groups(LAB))
    assert (asked["from"], asked["to"]) == ("2026-03-01T12:00:00Z", "2026-03-02T12:00:00Z")


def test_nobody_is_alerted_and_nothing_is_written_to_the_studios_storage() -> None:
    asked = question(LAB, BEGIN, NOW)
    words = [*asked["vmalert"], *asked["storage"]]
    assert not [w for w in words if w.startswith("-notifier") or "promscrape" in w or str(LAB.ports.alertmanager) in w]
    assert [w for w in words if w.startswith("-remoteWrite.url")] == ["-remoteWrite.url=http://127.0.0.1:{port}"]
    assert [w for w in words if str(LAB.ports.victoriametrics) in w] == ["-datasource.url=http://127.0.0.1:8428"]
    assert "-httpListenAddr=127.0.0.1:{port}" in asked["storage"]


def test_a_back_fill_evaluates_no_alert_and_vmalert_does_not_write_where_the_studio_reads() -> None:
    asked = backfill(LAB, BEGIN, NOW)
    (text,) = asked["rules"].values()
    assert "record:" in text
    assert "alert:" not in text
    words = asked["vmalert"]
    assert [w for w in words if "Write.url" in w or "notifier" in w] == ["-remoteWrite.url=http://127.0.0.1:{port}"]
    assert asked["keep"]["series"] == recorded.names()
    assert asked["keep"]["match"] == 'studio="lab"'


def test_steps_are_on_the_grid_newest_first_and_share_no_evaluation() -> None:
    begin = datetime(2026, 2, 15, 11, 59, 59, tzinfo=UTC)
    found = [(f"{a:%d %H:%M}", f"{b:%d %H:%M}") for a, b in steps(begin, datetime(2026, 3, 1, 12, 1, tzinfo=UTC))]
    assert found == [("22 12:00", "01 11:58"), ("15 12:00", "22 11:58"), ("15 11:58", "15 11:58")]
    assert list(steps(begin, begin)) == []


@pytest.mark.parametrize("asked", [question(LAB, BEGIN, NOW), backfill(LAB, BEGIN, NOW)])
def test_containers_are_the_accounts_and_leave_nothing(asked: dict[str, Any]) -> None:
    for argv in (asked["vmalert"], asked["storage"]):
        assert argv[:3] == ["runuser", "-u", "studio"]
        assert {"--rm", "--read-only", "--cap-drop=all", "--pull=never"} <= set(argv)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24h", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("7d", datetime(2026, 2, 23, 12, tzinfo=UTC)),
        ("2026-02-20T08:30Z", datetime(2026, 2, 20, 8, 30, tzinfo=UTC)),
    ],
)
def test_times_are_dates_or_spans(text: str, expected: datetime) -> None:
    assert replay.moment("--from", text, NOW) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yesterday", "--to: 'yesterday' is no time: give 2026-11-20"),
        ("2026-02-30", "--to: '2026-02-30' is no time"),
        ("99999999d", "--to: '99999999d' is no time"),
        ("99999999999999999999w", "is no time"),
        ("0001-01-01", "is no time|is before 1970"),
        ("1969-12-30", "--to: '1969-12-30' is before 1970"),
    ],
)
def test_what_is_no_time_is_told(text: str, said: str) -> None:
    with pytest.raises(Stop, match=said) as stop:
        replay.moment("--to", text, NOW)
    assert stop.value.code == 2


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The host answers with LINES; what it was asked is noted."""
    asked: dict[str, Any] = {"times": 0}

    def run_there(_studio: Any, argv: list[str], *, stdin: bytes, timeout: float) -> Answer:
        question = json.loads(stdin)
        asked.update(argv=argv, question=asked.get("question", question), times=asked["times"] + 1)
        stored = asked.get("stored", datetime.fromisoformat(question["from"]).timestamp())
        said = {"stored": stored, "alerts": "\n".join(LINES if stored else [])}
        return Answer(asked.get("code", 0), json.dumps(said).encode(), "vmalert could not replay:\nit said so")

    monkeypatch.setattr(replay, "run_deployed", run_there)
    return asked


def test_the_table_and_the_timeline(answered: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", "lab", "--from", "2026-03-01T12:00Z", "--to", "2026-03-02T12:00Z"]) == 0
    said = capsys.readouterr().out
    firings, timeline = said.split("\n\n")[1:]
    assert [line.split()[2:] for line in firings.splitlines()[1:]] == [
        ["15s", "FurnaceTempLow", "furnace=main", "shop", "critical"],
        ["30s", "FlameOut", "furnace=main", "shop", "critical"],
        ["15s", "FlameOut", "furnace=main", "shop", "critical"],
    ]
    assert [line.split()[:2] for line in timeline.splitlines()[1:]] == [
        ["FurnaceTempLow", "main"],
        ["FlameOut", "main"],
    ]
    assert "█" in timeline
    assert "def replay(" in answered["argv"][-1]


def test_json_for_programs(answered: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", "lab", "--from", "2026-03-01T12:00Z", "--to", "2026-03-02T12:00Z", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [e["alert"] for e in found] == ["FurnaceTempLow", "FlameOut", "FlameOut"]
    assert found[0]["labels"]["furnace"] == "main"
    assert answered["question"]["from"] == "2026-03-01T12:00:00Z"


def test_long_times_are_asked_day_by_day_with_progress_beside_the_answer(
    answered: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["replay", "lab", "--from", "2026-02-01T00:00Z", "--to", "2026-03-02T12:00Z", "--json"]) == 0
    said = capsys.readouterr()
    assert answered["times"] == 30
    assert [line.split()[0] for line in said.err.splitlines()] == [f"{n}/30" for n in range(1, 31)]
    # Each stretch tells the same here: none is there twice.
    assert len(json.loads(said.out)) == 3


def test_it_begins_where_something_is_stored_and_says_so(
    answered: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answered["stored"] = BEGIN.timestamp()
    assert run(["replay", "lab", "--from", "2026-03-01T10:00Z", "--to", "2026-03-02T09:00Z"]) == 0
    said = capsys.readouterr()
    begin = replay.time(BEGIN.timestamp())
    assert said.err == f"lab: nothing is stored before {begin}: nothing is told of it\n"
    assert said.out.startswith(f"lab, {begin} to ")


def test_a_time_of_which_nothing_is_stored_is_told(
    answered: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answered["stored"] = None
    assert run(["replay", "lab", "--from", "2026-03-01T12:00Z", "--to", "2026-03-02T12:00Z"]) == 1
    assert "nothing is stored from" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["replay"], ["dashboards", "backfill"]])
def test_a_host_on_which_nothing_is_deployed_is_told(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hostctl, "run", lambda *_a, **_k: Answer(hostctl.ABSENT, b"", ""))
    assert run([*command, "lab", "--from", "24h"]) == 1
    assert capsys.readouterr().err == "studio: lab: nothing is deployed on its host yet: studio deploy lab\n"


def test_a_time_that_ends_before_it_begins_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", "lab", "--from", "2026-03-02", "--to", "2026-03-01"]) == 2
    assert "must be before" in capsys.readouterr().err


def test_a_time_that_is_not_over_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", "lab", "--to", "2999-01-01"]) == 2
    assert "is in the future" in capsys.readouterr().err


def test_a_studio_that_there_is_not_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", "nosuch"]) == 2
    assert "there is no studio 'nosuch'; there is: lab, rosewood" in capsys.readouterr().err


def test_what_the_host_says_is_told(answered: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answered["code"] = 1
    assert run(["replay", "lab", "--from", "24h"]) == 1
    assert capsys.readouterr().err == "studio: lab: vmalert could not replay:\nit said so\n"
