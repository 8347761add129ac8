"""`furnaces`: what the artist looks at: temperatures, flames, and the cameras and plants of the studio."""

from collections.abc import Sequence

from dashboards.devices import of_cameras, of_plants
from dashboards.flames import burners, flame
from dashboards.frame import Dashboard, Row
from dashboards.inventory import label, of
from dashboards.panels import (
    BAD,
    COLD,
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
from dashboards.shown import held, recorded
from studio.model import Furnace, Studio


def _now(furnace: Furnace, width: int, rules: Rules) -> PanelBuilder:
    panel = number(
        label(furnace.id),
        f"The newest temperature of the last {furnace.no_data_minutes} minutes, on the colour of its limits.",
        "celsius",
        Query(f"max(last_over_time(furnace_furnace_temp{{{of(furnace)}}}[{furnace.no_data_minutes}m]))", furnace.id),
        steps=between(furnace.low_celsius, furnace.high_celsius),
        width=width,
        decimals=0,
    )
    return with_runbook(panel, rules, "FurnaceTempHigh", "FurnaceTempLow", "FurnaceNoData")


def _share(furnace: Furnace) -> str:
    expected = 300 / furnace.expected_interval_seconds
    return f"{recorded('furnace:furnace_furnace_temp:count5m', of(furnace))} / {expected:g}"


def _temperatures(furnaces: Sequence[Furnace], rules: Rules) -> list[PanelBuilder]:
    limits = lines(
        "Temperatures",
        "Every furnace; dashed are its limits.",
        "celsius",
        Query(held("avg", "furnace_furnace_temp", "furnace, label"), "{{label}}"),
        Query(held("max", "furnace_limit_low", "furnace"), "{{furnace}} low"),
        Query(held("max", "furnace_limit_high", "furnace"), "{{furnace}} high"),
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
                "How much warmer or colder each furnace has become; of more than two days, the most it fell.",
                "celsius",
                Query(recorded("furnace:furnace_furnace_temp:delta10m"), "{{furnace}}"),
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


def _alerts() -> PanelBuilder:
    return lines(
        "Alerts of the shop",
        "How many of each kind were pending or firing.",
        "short",
        Query(recorded("alertname_alertstate:ALERTS:count"), "{{alertname}} {{alertstate}}"),
        none="none",
        zero=True,
        width=24,
        height=6,
    )


def furnaces(studio: Studio, rules: Rules) -> Dashboard:
    """Temperatures with the inventory's limits, flames, cameras and plants."""
    width = max(24 // min(len(studio.furnaces), 6), 4)
    flames = [panel for furnace in studio.furnaces for panel in flame(furnace, rules)]
    return Dashboard(
        name="furnaces",
        title="Furnaces",
        description="What the artist looks at: temperatures and their limits, flames, cameras, plants.",
        audience="shop",
        rows=[
            Row("Now", [_now(furnace, width, rules) for furnace in studio.furnaces]),
            Row("Temperatures", [*_temperatures(studio.furnaces, rules), _alerts()]),
            Row("Flames", [*flames, *burners()]),
            *of_cameras(studio.cameras, rules),
            *of_plants(studio.plants, rules),
        ],
    )
