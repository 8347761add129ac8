"""How `studio replay` shows its answer on terminals of any width."""

import re

import pytest
from rich.console import Console
from test_replay import BEGIN, LAB, NOW, line

from studio.cli import replay_view
from studio.replay.episodes import episodes


def seen(found: list[str], width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(replay_view.chosen, "console", lambda: Console(width=width, highlight=False))
    replay_view.show(LAB, episodes(found), BEGIN.timestamp(), NOW.timestamp())
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 100, 160])
def test_it_fits_a_terminal_and_says_each_name_once_in_the_timeline(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    about = {"component_id": "furnace_series", "error_type": "request_failed", "instance": "127.0.0.1:9598"}
    found = [
        line("VectorErrors", [0, 15], type="system", severity="warning", **about),
        line("FlameOut", [60, 75], furnace="main", type="shop", severity="critical"),
        line("FlameOut", [3600, 7200], furnace="glory-hole", type="shop", severity="critical"),
        line("VectorErrors", [7200, 9000], type="system", severity="warning", component_id="x", error_type="y"),
    ]
    said = seen(found, width, monkeypatch, capsys)
    assert max(map(len, said.splitlines())) <= width
    timeline = said.split("\n\n")[2]
    bars = [row.split()[-1] for row in timeline.splitlines() if "·" in row]
    assert (len(bars), len(set(map(len, bars)))) == (4, 1)
    assert [timeline.count(alert) for alert in ("VectorErrors", "FlameOut")] == [1, 1]
    assert re.findall(r"main|glory-hole", timeline) == ["main", "glory-hole"]


@pytest.mark.parametrize("width", [30, 80, 100, 160])
def test_the_timeline_tells_apart_what_only_the_end_of_a_name_does(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    furnaces = ["the-big-furnace-in-the-workshop-north", "the-big-furnace-in-the-workshop-south"]
    found = [line("FlameSensorImplausible", [60, 75], furnace=furnace, type="shop") for furnace in furnaces]
    found.append(line("AllFurnacesSilent", [60, 75], type="shop"))
    timeline = seen(found, width, monkeypatch, capsys).split("\n\n")[2]
    said = re.sub(r"[ \n·█]", "", timeline)
    assert [said.count(furnace) for furnace in furnaces] == [1, 1]
    assert said.count("FlameSensorImplausible") == 1


def test_what_is_told_to_both_types_is_one_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [line("AllFurnacesSilent", [0, 15], type=kind, severity="critical") for kind in ("system", "shop")]
    said = seen(found, 100, monkeypatch, capsys)
    assert len(re.findall(r"AllFurnacesSilent +shop, system +critical", said)) == 1


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (30, "30s"), (1900, "31m 40s"), (7200, "2h"), (183_900, "2d 3h"), (86_405, "1d 5s")],
)
def test_a_duration_has_two_units_at_most(seconds: float, said: str) -> None:
    assert replay_view.lasted(seconds) == said


def test_nothing_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = seen([], 120, monkeypatch, capsys)
    assert said.startswith("lab, 2026-03-01")
    assert said.endswith("nothing would have fired\n")
