"""Events: logs and metrics, and how a log is written down (for VRL, for a disk buffer, for the console)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from vector_standin.histogram import Histogram

TIMESTAMP = "timestamp"


@dataclass(slots=True)
class Log:
    """A log event. `at` is its field `timestamp` when that is a timestamp (ns since 1970), not some text."""

    fields: dict[str, Any]
    at: int | None = None

    def dump(self) -> str:
        return json.dumps({"event": self.fields, "ts": self.at}, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str | bytes) -> "Log":
        content = json.loads(text)
        return cls(content["event"], content["ts"])

    def shown(self) -> dict[str, Any]:
        """The event as Vector encodes it as JSON."""
        return self.fields if self.at is None else {**self.fields, TIMESTAMP: rfc3339(self.at)}


@dataclass(frozen=True, slots=True)
class Metric:
    """A counter, gauge or histogram; `absolute` values replace, others are added to, what an exporter holds."""

    name: str
    value: float
    tags: tuple[tuple[str, str], ...] = ()
    namespace: str | None = None
    kind: str = "counter"
    absolute: bool = False
    histogram: Histogram | None = None

    def shown(self) -> dict[str, Any]:
        """The metric as VRL sees it."""
        kind = "absolute" if self.absolute else "incremental"
        named = {"namespace": self.namespace} if self.namespace else {}
        return {"name": self.name, **named, "kind": kind, "type": self.kind, "tags": dict(self.tags)}


Event = Log | Metric


def rfc3339(nanoseconds: int) -> str:
    """2026-03-01T12:00:00.123456789Z, without a fraction of zero."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{rest:09d}".rstrip("0") if rest else "") + "Z"


def text_of(value: Any) -> str:
    """A field's value as text, as Vector writes it in tags and templates."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "<null>"}[value]
    return json.dumps(value, separators=(",", ":"))


@dataclass(slots=True)
class Outputs:
    """What a transform gives: events by output; None is its own name."""

    by_port: dict[str | None, list[Event]] = field(default_factory=dict)

    def add(self, port: str | None, event: Event) -> None:
        self.by_port.setdefault(port, []).append(event)


def template(pattern: str, fields: Mapping[str, Any]) -> str | None:
    """A template such as "{{ kind }} {{ reason }}" filled in; None when a field is missing."""
    parts = pattern.split("{{")
    out = parts[0]
    for part in parts[1:]:
        name, closed, rest = part.partition("}}")
        name = name.strip().removeprefix(".")
        if not closed or name not in fields:
            return None
        out += text_of(fields[name]) + rest
    return out
