"""The simulated studio behaves: it holds its limits, cools when a flame goes out, and sends what devices send."""

import json
import random

import pytest

from lab.simulator import physics
from lab.simulator.messages import StudioSimulation
from lab.simulator.physics import Mood
from studio.model import Studio

STUDIO = Studio.model_validate(
    {
        "name": "test",
        "furnaces": [
            {"id": "main", "low": 1050, "high": 1180, "expected_interval_seconds": 1},
            {"id": "hole", "unit": "F", "low": 1900, "high": 2250, "expected_interval_seconds": 1},
        ],
        "cameras": [{"id": "eye"}],
        "plants": [{"id": "fern"}],
    }
)


def sent(simulation: StudioSimulation, device: str, topic_end: str, until: float) -> list[str]:
    return [m.payload for m in simulation.messages(until) if m.device == device and m.topic.endswith(topic_end)]


def test_a_healthy_furnace_stays_between_its_limits_for_a_day() -> None:
    rng = random.Random(4)
    state = physics.start(1050, 1180)
    for _ in range(24 * 3600):
        state = physics.step(state, 1, rng)
        assert 1050 < state.temperature < 1180


def test_a_furnace_without_flame_is_below_its_limit_within_the_hour() -> None:
    state = physics.FurnaceState(1115, 1115, Mood.FLAME_OUT)
    after = physics.step(state, 3600, random.Random(1))
    assert 20 < after.temperature < 1050
    assert physics.flame_voltage(after, random.Random(1)) < 0.5


def test_each_furnace_speaks_its_own_unit() -> None:
    celsius = [json.loads(p)["furnace_temp"] for p in sent(StudioSimulation(STUDIO), "main", "/telemetry", 5)]
    fahrenheit = [json.loads(p)["furnace_temp"] for p in sent(StudioSimulation(STUDIO), "hole", "/telemetry", 5)]
    assert all(1050 < value < 1180 for value in celsius)
    assert all(1900 < value < 2250 for value in fahrenheit)


@pytest.mark.parametrize(
    ("device", "topic_end", "count"), [("main", "/telemetry", 61), ("main", "/flame", 601), ("fern", "/state", 2)]
)
def test_messages_come_at_each_devices_interval(device: str, topic_end: str, count: int) -> None:
    assert abs(len(sent(StudioSimulation(STUDIO), device, topic_end, 60)) - count) <= 1


def test_a_plant_says_what_the_dashboard_shows_in_its_units() -> None:
    (state, *_) = [json.loads(p) for p in sent(StudioSimulation(STUDIO), "fern", "/state", 60)]
    assert state.keys() == {"moisture", "temperature", "light", "battery"}
    assert 50 < state["battery"] <= 100


def test_messages_are_in_order_and_the_same_for_the_same_seed() -> None:
    first, second = (list(StudioSimulation(STUDIO, seed=7).messages(20)) for _ in range(2))
    assert first == second
    assert [m.at for m in first] == sorted(m.at for m in first)


def test_a_silent_furnace_says_nothing_and_the_others_go_on() -> None:
    simulation = StudioSimulation(STUDIO)
    simulation.moods = {"main": Mood.SILENT}
    assert not sent(simulation, "main", "", 10)
    assert sent(simulation, "hole", "/telemetry", 10)


def test_an_erratic_flame_varies_more_than_its_limit_and_a_normal_one_less() -> None:
    def variation(mood: Mood) -> float:
        rng = random.Random(3)
        state = physics.FurnaceState(1100, 1100, mood)
        volts = [physics.flame_voltage(state, rng) for _ in range(1000)]
        mean = sum(volts) / len(volts)
        return (sum((v - mean) ** 2 for v in volts) / len(volts)) ** 0.5 / mean

    assert variation(Mood.ERRATIC) > 0.35
    assert variation(Mood.NORMAL) < 0.1
