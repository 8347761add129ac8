"""How a furnace, its flame, a camera and a plant behave: pure functions from one moment to the next.

Temperatures are °C, voltages V, times s. Nothing here reads a clock; the same seed gives the same studio.
"""

import math
import random
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

ROOM: Final = 22.0
COOLING_PER_SECOND: Final = 1 / 1800
"""Share of the difference to the room lost each second without a flame; `speed` makes it faster."""


class Mood(StrEnum):
    """What is the matter with a furnace."""

    NORMAL = "normal"
    FLAME_OUT = "flame-out"
    ERRATIC = "erratic"
    STUCK = "stuck"
    SILENT = "silent"
    JUNK = "junk"


@dataclass(frozen=True, slots=True)
class FurnaceState:
    """A furnace at one moment: temperature around its set point, and what troubles it."""

    temperature: float
    set_point: float
    mood: Mood = Mood.NORMAL
    phase: float = 0.0


def start(low: float, high: float) -> FurnaceState:
    """A furnace at rest in the middle of its limits."""
    middle = (low + high) / 2
    return FurnaceState(temperature=middle, set_point=middle)


def step(state: FurnaceState, seconds: float, rng: random.Random, *, speed: float = 1.0) -> FurnaceState:
    """The furnace some seconds later: it holds its set point while it burns, and cools towards the room when not."""
    if state.mood is Mood.STUCK:
        return state
    phase = state.phase + seconds
    if state.mood is Mood.FLAME_OUT:
        share = 1 - math.exp(-COOLING_PER_SECOND * speed * seconds)
        return replace(state, temperature=state.temperature + (ROOM - state.temperature) * share, phase=phase)
    pull = (state.set_point - state.temperature) * (1 - math.exp(-seconds * speed / 120))
    return replace(state, temperature=state.temperature + pull + rng.gauss(0, 0.15) * math.sqrt(seconds), phase=phase)


def flame_voltage(state: FurnaceState, rng: random.Random) -> float:
    """The flame sensor's reading: steady while it burns, wild when erratic, next to nothing when the flame is out."""
    match state.mood:
        case Mood.FLAME_OUT:
            return abs(rng.gauss(0.05, 0.02))
        case Mood.ERRATIC:
            return max(0.0, rng.gauss(3.5, 2.5))
        case _:
            return 3.5 + 0.1 * math.sin(state.phase / 7) + rng.gauss(0, 0.03)


def fahrenheit(celsius: float) -> float:
    """A Celsius temperature in °F."""
    return celsius * 9 / 5 + 32


def camera(phase: float, rng: random.Random) -> dict[str, float]:
    """What a thermal camera sees of the annealer: its hottest, coldest and mean temperature, °C."""
    mean = 480 + 20 * math.sin(phase / 300) + rng.gauss(0, 0.5)
    return {"temp_mean": round(mean, 2), "temp_max": round(mean + 31, 2), "temp_min": round(mean - 45, 2)}


def plant(phase: float, rng: random.Random) -> dict[str, float]:
    """What a plant's sensor says: soil moisture %, air temperature °C, light lx, battery %."""
    return {
        "moisture": round(45 + 5 * math.sin(phase / 900) + rng.gauss(0, 0.2), 2),
        "temperature": round(ROOM + 2 * math.sin(phase / 3600) + rng.gauss(0, 0.1), 2),
        "light": round(320 + 60 * math.sin(phase / 1800) + rng.gauss(0, 5), 1),
        "battery": round(88 + rng.gauss(0, 0.2), 1),
    }
