"""What an entry of the alert catalogue is filled in with: the values of the rules it makes, by its `each`."""

import math
from dataclasses import dataclass
from typing import Any

from dashboards.recordings import WATCHED_MOUNTS
from studio.model import Furnace, Studio
from studio.model.equipment import Device

SPARSE_MINUTES = 10
STUCK_MINUTES = 30
SAMPLES = 20
FLAME_MINUTES, FLAME_SAMPLES = 1, 3
FIRST_HOLDS = 30
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
    flame = furnace.flame_voltage
    return {
        **_device("furnace", furnace),
        "low": furnace.low_celsius,
        "high": furnace.high_celsius,
        "sparse_window": sparse_window,
        "sparse_expected": sparse_expected,
        "stuck_window": stuck_window,
        "stuck_expected": stuck_expected,
        "flame_window": _window(furnace, FLAME_MINUTES, FLAME_SAMPLES)[0],
        **({} if flame is None else {"flame_low": flame.low, "flame_high": flame.high, "flame_erratic": flame.erratic}),
    }


def subjects(studio: Studio) -> dict[str, list[dict[str, Any]]]:
    """The values by `each`; `subject` holds the labels that a rule gets from them."""
    whole: dict[str, Any] = {
        "studio": studio.name,
        "title": studio.display_name,
        "watched_mounts": WATCHED_MOUNTS,
        "subject": {},
    }
    on = [f for f in studio.furnaces if not f.off]
    furnaces = [{**whole, **_furnace(f)} for f in on]
    several = {
        **whole,
        # Ids have nothing in them that a regular expression reads as more than a letter.
        "furnaces_pattern": "|".join(f.id for f in on),
        "no_data_first": Duration(60 * min((f.no_data_minutes for f in on), default=1) - FIRST_HOLDS),
    }
    return {
        "studio": [whole],
        "furnace": furnaces,
        "flame": [values for values in furnaces if "flame_low" in values],
        "furnaces": [several] if len(on) > 1 else [],
        "camera": [{**whole, **_device("camera", d)} for d in studio.cameras],
        "plant": [{**whole, **_device("plant", d)} for d in studio.plants],
    }
