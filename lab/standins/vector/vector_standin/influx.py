"""InfluxDB line protocol as Vector's sink `influxdb_logs` writes it."""

import time
from collections.abc import Sequence, Set
from decimal import Decimal
from typing import Any

from vector_standin.event import Log, text_of

# A tag the sink makes itself, and the fields that it makes tags of besides those it is told.
METRIC_TYPE = "metric_type"
OWN_TAGS = frozenset({METRIC_TYPE, "host", "source_type"})


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\, =" else c for c in text)


def _number(value: float) -> str:
    """A float as Rust writes it: the shortest digits, never an exponent, no fraction of zero."""
    text = format(Decimal(repr(value)), "f")
    return text.removesuffix(".0")


def _field(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i"
    if isinstance(value, float):
        return _number(value)
    text = text_of(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    """Nested fields by their dotted paths."""
    if isinstance(value, dict) and value:
        return {k: v for name, item in value.items() for k, v in _flat(f"{prefix}.{name}", item).items()}
    if isinstance(value, list) and value:
        return {k: v for i, item in enumerate(value) for k, v in _flat(f"{prefix}[{i}]", item).items()}
    return {prefix: value}


def line(log: Log, measurement: str, tag_names: Set[str], except_fields: Sequence[str]) -> str | None:
    """One line with a newline, its time in nanoseconds; None when no field is left, which Vector counts as an error."""
    flat = {k: v for name, value in log.fields.items() for k, v in _flat(name, value).items()}
    flat[METRIC_TYPE] = "logs"
    kept = {name: value for name, value in flat.items() if name not in except_fields}
    is_tag = tag_names | OWN_TAGS
    tags = {name: text_of(value) for name, value in sorted(kept.items()) if name in is_tag}
    fields = {name: value for name, value in kept.items() if name not in is_tag}
    if not fields:
        return None
    tag_text = "".join(f",{_escaped(name)}={_escaped(text)}" for name, text in tags.items() if name and text)
    field_text = ",".join(f"{_escaped(name)}={_field(value)}" for name, value in fields.items())
    at = time.time_ns() if log.at is None else log.at
    return f"{_escaped(measurement)}{tag_text} {field_text} {at}\n"
