"""The part of `furnaces` that is about flames and burners."""

from dashboards.inventory import label, of
from dashboards.panels import BAD, PanelBuilder, Query, Rules, between, lines, with_runbook
from dashboards.shown import held, recorded
from studio.model import Furnace


def flame(furnace: Furnace, rules: Rules) -> list[PanelBuilder]:
    """The flame of one furnace; nothing when it has no flame sensor."""
    limits = furnace.flame_voltage
    if limits is None:
        return []
    own = of(furnace)
    return [
        with_runbook(
            lines(
                f"Flame of {label(furnace.id)}",
                "Mean, least and most of the flame sensor; below the lower line the flame is out.",
                "volt",
                Query(recorded("furnace:furnace_flame_voltage:avg", own), "mean"),
                Query(recorded("furnace:furnace_flame_voltage_min:min", own), "least"),
                Query(recorded("furnace:furnace_flame_voltage_max:max", own), "most"),
                steps=between(limits.low, limits.high),
            ),
            rules,
            "FlameOut",
            "FlameNoData",
            "FlameAnomaly",
            "FlameDrift",
            "FlameSensorImplausible",
        ),
        with_runbook(
            lines(
                f"Unsteadiness of {label(furnace.id)}",
                "Deviation of the flame voltage by its mean, over five minutes.",
                "percentunit",
                Query(recorded("furnace:furnace_flame_voltage:variation5m", own), "deviation"),
                steps=((None, "green"), (limits.erratic, BAD)),
                zero=True,
            ),
            rules,
            "FlameErratic",
        ),
    ]


def burners() -> list[PanelBuilder]:
    """Flames and burners of all furnaces."""
    return [
        lines(
            "Flames",
            "Every flame sensor, whether it has limits or not.",
            "volt",
            Query(held("avg", "furnace_flame_voltage", "furnace"), "{{furnace}}"),
        ),
        lines(
            "Burners",
            "Share of the time that the burner was called.",
            "percentunit",
            Query(recorded("furnace:furnace_burner:avg"), "{{furnace}}"),
            none="no furnace tells",
            zero=True,
        ),
    ]
