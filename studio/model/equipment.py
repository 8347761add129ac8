"""What stands in the workshop: furnaces, thermal cameras, plants."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from studio.model.base import Label, Part, Port, Slug
from studio.model.errors import FieldPath, refuse
from studio.model.services import ACCOUNT, ADDRESS

Unit = Literal["C", "F"]


def celsius(value: float, unit: Unit) -> float:
    """A temperature in °C, rounded to a thousandth of a degree."""
    return round(value if unit == "C" else (value - 32) * 5 / 9, 3)


class FlameVoltage(Part):
    """Limits of a flame sensor: volts while the flame burns, and how unsteady it may be."""

    low: Annotated[float, Field(ge=-5, le=50, description="V; below it while the burner is on, the flame is out")] = 1.0
    high: Annotated[float, Field(ge=-5, le=50, description="V; above it, the sensor is implausible")] = 10.0
    erratic: Annotated[
        float, Field(gt=0, le=10, description="coefficient of variation (deviation / mean) over 5 minutes")
    ] = 0.35

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            refuse([(("low",), f"low ({self.low:g}) must be below high ({self.high:g})")])
        return self


class Device(Part):
    """Anything that reports over MQTT with an own account at the broker (`device-<id>`)."""

    id: Annotated[Slug, Field(description="short name in topics, labels and accounts")]
    label: Annotated[Label | None, Field(description="name for people; the id when left out")] = None
    expected_interval_seconds: Annotated[float, Field(gt=0, le=3600, description="between two messages")] = 10
    no_data_minutes: Annotated[int, Field(ge=1, le=1440, description="silence that raises an alert")] = 10

    @property
    def title(self) -> str:
        return self.label or self.id

    def findings(self) -> list[tuple[FieldPath, str]]:
        """What is wrong with the fields taken together."""
        if self.no_data_minutes * 60 >= 3 * self.expected_interval_seconds:
            return []
        what = (
            f"no_data_minutes ({self.no_data_minutes}) must be at least three times expected_interval_seconds "
            f"({self.expected_interval_seconds:g}), else one lost message raises an alert"
        )
        return [(("no_data_minutes",), what)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse(self.findings())
        return self


class Furnace(Device):
    """A furnace: its limits are in its own unit; everything stored and drawn is in °C."""

    unit: Annotated[Unit, Field(description="unit of low, high and of what the furnace sends")] = "C"
    low: Annotated[float, Field(description="alert below it (5-minute mean), in `unit`")]
    high: Annotated[float, Field(description="alert above it (5-minute mean), in `unit`")]
    flame_voltage: FlameVoltage | None = None
    off: Annotated[bool, Field(description="switched off on purpose: no shop alerts for it")] = False

    @property
    def low_celsius(self) -> float:
        return celsius(self.low, self.unit)

    @property
    def high_celsius(self) -> float:
        return celsius(self.high, self.unit)

    def findings(self) -> list[tuple[FieldPath, str]]:
        found = super().findings()
        if self.low >= self.high:
            found.append((("low",), f"low ({self.low:g}) must be below high ({self.high:g})"))
        for name, value in (("low", self.low_celsius), ("high", self.high_celsius)):
            if not -50 <= value <= 2000:
                what = f"{name} is {value:g} °C; a furnace's limits lie between -50 and 2000 °C: is `unit` right?"
                found.append(((name,), what))
        return found


class Camera(Device):
    """A thermal camera; its temperatures are in °C. With `host`, `studio devices` puts the agent on it."""

    host: Annotated[
        str | None,
        Field(pattern=f"^({ADDRESS})$", description="name or address for SSH", examples=["annealer.local"]),
    ] = None
    user: Annotated[
        str | None,
        Field(pattern=f"^{ACCOUNT}$", description="SSH account: root, or one that may use sudo", examples=["pi"]),
    ] = None
    port: Annotated[Port, Field(description="port of SSH")] = 22
    reads: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=400, pattern=r"^[^\x00-\x1f\x7f]+$")], ...],
        Field(
            max_length=20,
            description="the program there that prints a reading, and its arguments; for a first thermal_config.json",
            examples=[["/usr/local/bin/thermal-read"]],
        ),
    ] = ()

    def findings(self) -> list[tuple[FieldPath, str]]:
        found = super().findings()
        if self.host is None:
            given = {"user": self.user, "reads": self.reads}
            found += [((name,), f"without host there is nothing to use {name} on") for name in given if given[name]]
        return found


class Plant(Device):
    """A plant's sensor."""

    expected_interval_seconds: Annotated[float, Field(gt=0, le=3600)] = 60
    no_data_minutes: Annotated[int, Field(ge=1, le=10080)] = 60


class Topics(Part):
    """MQTT topics by kind; `{id}` stands for the device's id, one whole level of the topic."""

    furnace: str = "furnace/{id}/telemetry"
    flame: str = "furnace/{id}/flame"
    camera: str = "camera/{id}/telemetry"
    plant: str = "plant/{id}/state"
    canary: str = "pipeline/canary"

    @model_validator(mode="after")
    def _one_id_level(self) -> Self:
        patterns = self.model_dump()
        found: list[tuple[FieldPath, str]] = []
        for kind, pattern in patterns.items():
            levels = pattern.split("/")
            if levels.count("{id}") != (kind != "canary"):
                wants = (
                    "no {id}" if kind == "canary" else "{id} as exactly one whole level, as in 'furnace/{id}/telemetry'"
                )
                found.append(((kind,), f"the topic {pattern!r} must have {wants}"))
            elif not all(re.fullmatch(r"\{id\}|[A-Za-z0-9_.\-]{1,60}", level) for level in levels):
                what = f"the topic {pattern!r} may have letters, digits, '_', '-' and '.' between its slashes"
                found.append(((kind,), what))
        seen: dict[str, str] = {}
        for kind, pattern in patterns.items():
            if (other := seen.setdefault(pattern, kind)) != kind:
                found.append(((kind,), f"{other} has the same topic {pattern!r}: each needs its own"))
        refuse(found)
        return self
