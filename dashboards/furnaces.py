"""`furnaces`: what the artist looks at: temperatures, flames, and the cameras and plants of the studio."""

from collections.abc import Sequence

from dashboards.frame import Dashboard, Row
from dashboards.panels import (
    BAD,
    COLD,
    STUDIO,
    PanelBuilder,
    Query,
    Rules,
    below,
    between,
    dashed,
    lines,
    number,
    with_runbook,
)
from studio.model import Camera, Furnace, Plant, Studio

TEMPERATURE = "furnace_furnace_temp"
FLAME = "furnace_flame_voltage"


def label(device: str) -> str:
    """The placeholder for a device's name for people, which may hold anything: it is filled in with its quoting."""
    return f"<<label {device}>>"


def _of(furnace: Furnace) -> str:
    # An id has nothing in it that MetricsQL or JSON would have to quote.
    return f'{STUDIO},furnace="{furnace.id}"'


def _now(furnace: Furnace, width: int, rules: Rules) -> PanelBuilder:
    panel = number(
        label(furnace.id),
        f"The newest temperature of the last {furnace.no_data_minutes} minutes, on the colour of its limits.",
        "celsius",
        Query(f"max(last_over_time({TEMPERATURE}{{{_of(furnace)}}}[{furnace.no_data_minutes}m]))", furnace.id),
        steps=between(furnace.low_celsius, furnace.high_celsius),
        width=width,
        decimals=0,
    )
    return with_runbook(panel, rules, "FurnaceTempHigh", "FurnaceTempLow", "FurnaceNoData")


def _share(furnace: Furnace) -> str:
    expected = 300 / furnace.expected_interval_seconds
    return f"sum(count_over_time({TEMPERATURE}{{{_of(furnace)}}}[5m])) / {expected:g}"


def _temperatures(furnaces: Sequence[Furnace], rules: Rules) -> list[PanelBuilder]:
    limits = lines(
        "Temperatures",
        "Every furnace; dashed are its limits.",
        "celsius",
        Query(f"max by (furnace, label) ({TEMPERATURE}{{{STUDIO}}})", "{{label}}"),
        Query(f"max by (furnace) (furnace_limit_low{{{STUDIO}}})", "{{furnace}} low"),
        Query(f"max by (furnace) (furnace_limit_high{{{STUDIO}}})", "{{furnace}} high"),
        width=24,
        height=10,
    )
    falls = rules["FurnaceTempFallingFast"].bound or 0
    return [
        with_runbook(
            dashed(dashed(limits, "B", COLD), "C", BAD),
            rules,
            "FurnaceLimitMissing",
            "SensorStuck",
            "SensorImplausible",
        ),
        with_runbook(
            lines(
                "Change in ten minutes",
                "How much warmer or colder each furnace has become.",
                "celsius",
                Query(
                    f"max by (furnace) (avg_over_time({TEMPERATURE}{{{STUDIO}}}[2m])"
                    f" - avg_over_time({TEMPERATURE}{{{STUDIO}}}[2m] offset 10m))",
                    "{{furnace}}",
                ),
                steps=((None, BAD), (-falls, "green")),
            ),
            rules,
            "FurnaceTempFallingFast",
        ),
        with_runbook(
            lines(
                "Readings",
                "How many of the temperatures that should have come within five minutes came.",
                "percentunit",
                *(Query(_share(furnace), furnace.id) for furnace in furnaces),
                steps=below(rules, "SamplesSparse"),
                zero=True,
            ),
            rules,
            "SamplesSparse",
            "FurnaceNoData",
            "FurnaceNoDataExpected",
            "AllFurnacesSilent",
        ),
    ]


def _flame(furnace: Furnace, rules: Rules) -> list[PanelBuilder]:
    limits = furnace.flame_voltage
    if limits is None:
        return []
    of = _of(furnace)
    return [
        with_runbook(
            lines(
                f"Flame of {label(furnace.id)}",
                "Mean, least and most of the flame sensor; below the lower line the flame is out.",
                "volt",
                Query(f"avg({FLAME}{{{of}}})", "mean"),
                Query(f"min({FLAME}_min{{{of}}})", "least"),
                Query(f"max({FLAME}_max{{{of}}})", "most"),
                steps=between(limits.low, limits.high),
            ),
            rules,
            "FlameOut",
            "FlameAnomaly",
            "FlameDrift",
            "FlameSensorImplausible",
        ),
        with_runbook(
            lines(
                f"Unsteadiness of {label(furnace.id)}",
                "Deviation of the flame voltage by its mean, over five minutes.",
                "percentunit",
                Query(f"max(stddev_over_time({FLAME}{{{of}}}[5m]) / avg_over_time({FLAME}{{{of}}}[5m]))", "deviation"),
                steps=((None, "green"), (limits.erratic, BAD)),
                zero=True,
            ),
            rules,
            "FlameErratic",
        ),
    ]


def _burners() -> list[PanelBuilder]:
    return [
        lines(
            "Flames",
            "Every flame sensor, whether it has limits or not.",
            "volt",
            Query(f"avg by (furnace) ({FLAME}{{{STUDIO}}})", "{{furnace}}"),
        ),
        lines(
            "Burners",
            "Share of the time that the burner was called.",
            "percentunit",
            Query(f"avg by (furnace) (avg_over_time(furnace_burner{{{STUDIO}}}[$__interval]))", "{{furnace}}"),
            none="no furnace tells",
            zero=True,
        ),
    ]


def _alerts() -> PanelBuilder:
    return lines(
        "Alerts of the shop",
        "How many of each kind were pending or firing.",
        "short",
        Query(f'count by (alertname, alertstate) (ALERTS{{{STUDIO},type="shop"}})', "{{alertname}} {{alertstate}}"),
        none="none",
        zero=True,
        width=24,
        height=6,
    )


def _cameras(cameras: Sequence[Camera], rules: Rules) -> list[Row]:
    if not cameras:
        return []
    panel = lines(
        "Thermal cameras",
        "The hottest and the mean of what each camera sees.",
        "celsius",
        Query(f"max by (camera) (camera_temp_max{{{STUDIO}}})", "{{camera}} hottest"),
        Query(f"avg by (camera) (camera_temp_mean{{{STUDIO}}})", "{{camera}} mean"),
        width=24,
    )
    return [Row("Cameras", [with_runbook(panel, rules, "CameraNoData")])]


def _plants(plants: Sequence[Plant], rules: Rules) -> list[Row]:
    if not plants:
        return []
    panels = [
        with_runbook(
            lines(title, text, unit, Query(f"avg by (plant) (plant_{name}{{{STUDIO}}})", "{{plant}}"), zero=True),
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


def furnaces(studio: Studio, rules: Rules) -> Dashboard:
    """Temperatures with the inventory's limits, flames, cameras and plants."""
    width = max(24 // min(len(studio.furnaces), 6), 4)
    flames = [panel for furnace in studio.furnaces for panel in _flame(furnace, rules)]
    return Dashboard(
        name="furnaces",
        title="Furnaces",
        description="What the artist looks at: temperatures and their limits, flames, cameras, plants.",
        audience="shop",
        rows=[
            Row("Now", [_now(furnace, width, rules) for furnace in studio.furnaces]),
            Row("Temperatures", [*_temperatures(studio.furnaces, rules), _alerts()]),
            Row("Flames", [*flames, *_burners()]),
            *_cameras(studio.cameras, rules),
            *_plants(studio.plants, rules),
        ],
    )
