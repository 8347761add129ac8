"""What an entry of the alert catalogue is filled in with: the values of the rules it makes, by its `each`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.recordings import PASSING_TYPES, WATCHED_MOUNTS
from studio.model import Furnace, Studio
from studio.model.equipment import Device

SPARSE_MINUTES = 10
STUCK_MINUTES = 30
SAMPLES = 20
MEAN_MINUTES, FLAME_MINUTES, FALL_MINUTES, JUMP_MINUTES = 5, 1, 2, 2
FALL_BACK_MINUTES = 10
FEW = 3
"""The least samples that are looked at: one of them may be lost, and an alert holds from each to the next."""
ALL_HOLDS = 30
"""The seconds of AllFurnacesSilent's `for`: window and `for` are the patience of the first."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A MetricsQL duration; the only value that goes into an expression unquoted."""

    seconds: int

    def __str__(self) -> str:
        """10m, or 570s."""
        return f"{self.seconds}s" if self.seconds % 60 else f"{self.seconds // 60}m"


def _window(device: Device, minutes: int, samples: int = SAMPLES) -> tuple[Duration, float]:
    """Some minutes, or more for a device that sends seldom; and how many samples it should send in them."""
    enough = max(minutes, math.ceil(samples * device.expected_interval_seconds / 60))
    return Duration(60 * enough), enough * 60 / device.expected_interval_seconds


def _steps(device: Device, minutes: int) -> tuple[Duration, float]:
    """Some minutes, or a little more, that are a whole number of a device's intervals; and how many times as long."""
    seconds = math.ceil(60 * minutes / device.expected_interval_seconds) * device.expected_interval_seconds
    return Duration(math.ceil(seconds)), seconds / (60 * minutes)


def _device(kind: str, device: Device) -> dict[str, Any]:
    return {
        "subject": {kind: device.id},
        kind: device.id,
        "label": device.title,
        "no_data": Duration(60 * device.no_data_minutes),
        "no_data_minutes": device.no_data_minutes,
    }


def _furnace(furnace: Furnace) -> dict[str, Any]:
    sparse_window, sparse_expected = _window(furnace, SPARSE_MINUTES)
    stuck_window, stuck_expected = _window(furnace, STUCK_MINUTES)
    fall_back, fall_scale = _steps(furnace, FALL_BACK_MINUTES)
    flame = furnace.flame_voltage
    return {
        **_device("furnace", furnace),
        "low": furnace.low_celsius,
        "high": furnace.high_celsius,
        "sparse_window": sparse_window,
        "sparse_expected": sparse_expected,
        "stuck_window": stuck_window,
        "stuck_expected": stuck_expected,
        "window": _window(furnace, MEAN_MINUTES, FEW)[0],
        "flame_window": _window(furnace, FLAME_MINUTES, FEW)[0],
        "fall_window": _window(furnace, FALL_MINUTES, FEW)[0],
        "fall_back": fall_back,
        "fall_scale": fall_scale,
        # Of a furnace that sends less than once in these minutes: two messages, which are one interval apart.
        "jump_window": _window(furnace, JUMP_MINUTES, 2)[0],
        "jump_scale": max(1.0, furnace.expected_interval_seconds / (60 * JUMP_MINUTES)),
        **({} if flame is None else {"flame_low": flame.low, "flame_high": flame.high, "flame_erratic": flame.erratic}),
    }


def _no_data_all(furnaces: Sequence[Furnace]) -> Duration:
    """In which one of all furnaces must be heard: the patience of the first, but time for the slowest to send."""
    first = 60 * min((f.no_data_minutes for f in furnaces), default=1) - ALL_HOLDS
    slowest = max((f.expected_interval_seconds for f in furnaces), default=0)
    return Duration(max(first, math.ceil(FEW * slowest)))


def subjects(studio: Studio) -> dict[str, list[dict[str, Any]]]:
    """The values by `each`; `subject` holds the labels that a rule gets from them."""
    whole: dict[str, Any] = {
        "studio": studio.name,
        "title": studio.display_name,
        "watched_mounts": WATCHED_MOUNTS,
        "passing_types": PASSING_TYPES,
        "subject": {},
    }
    on = [f for f in studio.furnaces if not f.off]
    furnaces = [{**whole, **_furnace(f)} for f in on]
    several = {
        **whole,
        # Ids have nothing in them that a regular expression reads as more than a letter.
        "furnaces_pattern": "|".join(f.id for f in on),
        "no_data_all": _no_data_all(on),
    }
    return {
        "studio": [whole],
        "furnace": furnaces,
        "flame": [values for values in furnaces if "flame_low" in values],
        "furnaces": [several] if len(on) > 1 else [],
        "camera": [{**whole, **_device("camera", d)} for d in studio.cameras],
        "plant": [{**whole, **_device("plant", d)} for d in studio.plants],
    }
