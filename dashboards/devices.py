"""The part of `furnaces` that is about cameras and plants."""

from collections.abc import Sequence

from dashboards.frame import Row
from dashboards.panels import Query, Rules, lines, with_runbook
from dashboards.shown import held
from studio.model import Camera, Plant


def of_cameras(cameras: Sequence[Camera], rules: Rules) -> list[Row]:
    """What thermal cameras see; nothing when there are none."""
    if not cameras:
        return []
    panel = lines(
        "Thermal cameras",
        "The hottest and the mean of what each camera sees.",
        "celsius",
        Query(held("max", "camera_temp_max", "camera"), "{{camera}} hottest"),
        Query(held("avg", "camera_temp_mean", "camera"), "{{camera}} mean"),
        width=24,
    )
    return [Row("Cameras", [with_runbook(panel, rules, "CameraNoData")])]


def of_plants(plants: Sequence[Plant], rules: Rules) -> list[Row]:
    """What plants tell; nothing when there are none."""
    if not plants:
        return []
    panels = [
        with_runbook(
            lines(title, text, unit, Query(held("avg", f"plant_{name}", "plant"), "{{plant}}"), zero=True),
            rules,
            "PlantNoData",
        )
        for title, text, unit, name in (
            ("Moisture", "Of the soil.", "percent", "moisture"),
            ("Temperature", "At the plant.", "celsius", "temperature"),
            ("Light", "At the plant.", "lux", "light"),
            ("Battery", "Of the plant's sensor.", "percent", "battery"),
        )
    ]
    return [Row("Plants", panels)]
