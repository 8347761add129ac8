"""Furnaces that send seldom: windows follow their interval, so that no alert comes and goes with each message."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.plain import parts
from lab.rules.cases import Case
from lab.rules.tool import judge, trial
from lab.rules.values import samples, seconds
from studio.model import Studio
from studio.render.catalogue import GROUPS
from studio.render.subjects import Duration, subjects

pytestmark = pytest.mark.services
Told = Callable[[Studio, str, str, str, dict[str, str]], None]
STEP = 15
TEMPERATURE, VOLTAGE, BURNER = "furnace_furnace_temp", "furnace_flame_voltage", "furnace_burner"
STORED = {'up{job="victoriametrics",instance="s"}': "1 4h"}


def furnaces(*intervals: float) -> Studio:
    """A studio with a furnace `each-<interval>` for each interval (seconds), as patient as it must be."""
    found = [
        {
            "id": f"each-{interval:g}",
            "low": 1050,
            "high": 1180,
            "expected_interval_seconds": interval,
            "no_data_minutes": max(2, -(-int(3 * interval) // 60)),
            "flame_voltage": {"low": 1.5, "high": 8},
        }
        for interval in intervals
    ]
    return Studio.model_validate({"name": "lab", "title": "Lab studio", "furnaces": found})


def sent(interval: int, *values: float) -> str:
    """Messages of a furnace: one each interval."""
    return ", ".join(f"{value} {STEP}s" + (f", _ {interval - STEP}s" * (interval > STEP)) for value in values)


@pytest.fixture(scope="module")
def root() -> Path:
    """Debian's packages, unpacked."""
    return parts.build_root()


@pytest.fixture
def told(root: Path, tmp_path: Path) -> Told:
    """Ask a rule of the studio's first furnace at some moments; a series without labels is that furnace's."""

    def ask(of: Studio, rule: str, silent: str, fires: str, series: dict[str, str]) -> None:
        own = trial(of, rule)
        subject = {"furnace": of.furnaces[0].id}
        named = {name if "{" in name else f'{name}{{furnace="{subject["furnace"]}"}}': s for name, s in series.items()}
        case = Case(
            rule=rule,
            name=rule,
            step=STEP,
            every=GROUPS[own.group],
            series={name: samples(text, STEP) for name, text in {**named, **STORED}.items()},
            silent=tuple(map(seconds, silent.split())),
            fires=tuple(map(seconds, fires.split())),
            subject=subject if rule != "AllFurnacesSilent" else {},
        )
        verdict = judge(root, Path(tempfile.mkdtemp(dir=tmp_path)), [case], own)
        assert verdict.passed, verdict.said

    return ask


@pytest.mark.parametrize(("rule", "values"), [("FurnaceTempHigh", (1150, 1260)), ("FurnaceTempLow", (1100, 900))])
def test_what_is_beyond_a_limit_stays_told_between_two_messages(rule: str, values: tuple[int, int], told: Told) -> None:
    usual, beyond = values
    story = sent(600, *[usual] * 4, *[beyond] * 8, *[usual] * 4)
    moments = "52m 55m 59m 61m 66m 69m 71m 79m 85m 89m 99m 109m 119m"
    told(furnaces(600), rule, "31m 39m 151m 159m", moments, {TEMPERATURE: story})


def test_one_message_that_is_lost_ends_nothing(told: Told) -> None:
    hot = sent(600, *[1260] * 6)
    story = f"{hot}, _ 10m, {hot}"
    told(furnaces(600), "FurnaceTempHigh", "", "59m 62m 68m 71m 75m 81m", {TEMPERATURE: story})


@pytest.mark.parametrize(
    ("interval", "usual", "fast"), [(300, 15, 30), (400, 20, 33), (600, 30, 50), (900, 50, 75), (3600, 200, 300)]
)
def test_a_furnace_that_falls_fast_is_told_without_a_break(interval: int, usual: int, fast: int, told: Told) -> None:
    """`usual` and `fast` are the °C lost from one message to the next: less and more than 40 in ten minutes."""
    for lost in (usual, fast):
        story = sent(interval, *[3000 - lost * n for n in range(10)])
        moments = " ".join(f"{interval * 6 + interval * n // 8}s" for n in range(1, 24))
        silent, fires = (moments, "") if lost == usual else ("", moments)
        told(furnaces(interval), "FurnaceTempFallingFast", silent, fires, {TEMPERATURE: story})


def test_a_reading_that_cannot_be_is_told_of_what_sends_each_four_minutes(told: Told) -> None:
    for reading, silent, fires in ((0, "19m", "21m 23m"), (600, "19m 21m 23m", "")):
        story = sent(240, *[1150] * 5, *[reading] * 5)
        told(furnaces(240), "SensorImplausible", silent, fires, {TEMPERATURE: story})


def test_a_flame_out_stays_told_between_two_messages(told: Told) -> None:
    series = {VOLTAGE: sent(600, *[3.5] * 4, *[0.05] * 6), BURNER: sent(600, *[1] * 10)}
    told(furnaces(600), "FlameOut", "39m", "42m 46m 49m 51m 58m 66m 69m 79m 89m 99m", series)


def test_a_flame_is_unsteady_when_it_is_so_for_longer_than_its_window(told: Told) -> None:
    lit = sent(600, *[3.5] * 6, *[0.05] * 2, *[3.5] * 8)
    told(furnaces(600), "FlameErratic", "59m 65m 75m 85m 95m 105m", "", {VOLTAGE: lit})
    wild = sent(600, *[3.5] * 6, *[6.5, 1.6] * 6)
    told(furnaces(600), "FlameErratic", "59m 75m", "115m 121m 129m 135m", {VOLTAGE: wild})


def test_a_flame_sensor_beyond_its_limits_stays_told(told: Told) -> None:
    story = sent(600, *[3.5] * 4, *[9] * 8)
    told(furnaces(600), "FlameSensorImplausible", "39m", "63m 69m 75m 79m 99m", {VOLTAGE: story})


def test_all_are_silent_when_the_slowest_has_had_time_to_send(told: Told) -> None:
    of, dies = furnaces(1, 600), {TEMPERATURE: "1150 1h, _ 2h"}
    other = f'{TEMPERATURE}{{furnace="each-600"}}'
    heard = "59m50s 61m30s 62m20s 66m40s 69m50s 70m10s 79m50s 89m50s 115m"
    told(of, "AllFurnacesSilent", heard, "", {**dies, other: sent(600, *[1150] * 12)})
    told(of, "AllFurnacesSilent", "59m50s 69m 79m 89m50s", "91m 100m 119m", {**dies, other: sent(600, *[1150] * 6)})


@pytest.mark.parametrize("interval", [1, 2, 5, 10, 20])
def test_who_sends_often_is_told_as_soon_as_ever(interval: float) -> None:
    """The windows of the lab's cases, which say to the second when an alert comes."""
    values, usual = (subjects(furnaces(each, 30)) for each in (interval, 10))
    windows = {name: value for name, value in usual["flame"][0].items() if name.endswith(("window", "back", "scale"))}
    assert {name: values["flame"][0][name] for name in windows} == windows
    assert {str(windows[name]) for name in ("window", "flame_window", "fall_back")} == {"5m", "1m", "10m"}
    assert values["furnaces"][0]["no_data_all"] == Duration(90)
