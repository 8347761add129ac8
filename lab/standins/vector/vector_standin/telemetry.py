"""The program's own metrics, under the names and labels that Vector gives them."""

import socket
import threading
import time
from dataclasses import dataclass

from vector_standin.event import Metric

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Series:
    value: float
    updated: float


class Telemetry:
    """Counters and gauges by name and labels; those not updated for `expire_seconds` are forgotten."""

    def __init__(self, expire_seconds: float = 300) -> None:
        self._expire = expire_seconds
        self._lock = threading.Lock()
        self._series: dict[tuple[str, str, Labels], _Series] = {}
        self._host = socket.gethostname()

    def add(self, name: str, labels: dict[str, str], value: float = 1) -> None:
        self._update("counter", name, labels, value, add=True)

    def set(self, name: str, labels: dict[str, str], value: float) -> None:
        self._update("gauge", name, labels, value, add=False)

    def _update(self, kind: str, name: str, labels: dict[str, str], value: float, *, add: bool) -> None:
        key = (kind, name, tuple(sorted(labels.items())))
        with self._lock:
            series = self._series.setdefault(key, _Series(0, 0))
            series.value = series.value + value if add else value
            series.updated = time.monotonic()

    def metrics(self, namespace: str = "vector") -> list[Metric]:
        """Everything there is now, as the source `internal_metrics` sends it."""
        oldest = time.monotonic() - self._expire
        with self._lock:
            self._series = {key: series for key, series in self._series.items() if series.updated >= oldest}
            now = [(*key, series.value) for key, series in self._series.items()]
        host = (("host", self._host),)
        return [Metric(name, value, host + labels, namespace, kind, absolute=True) for kind, name, labels, value in now]


@dataclass(frozen=True, slots=True)
class Component:
    """A component's own view of the telemetry: its labels are on everything it says."""

    telemetry: Telemetry
    id: str
    kind: str
    type: str

    @property
    def labels(self) -> dict[str, str]:
        return {"component_id": self.id, "component_kind": self.kind, "component_type": self.type}

    def add(self, name: str, value: float = 1, **labels: str) -> None:
        self.telemetry.add(name, {**self.labels, **labels}, value)

    def set(self, name: str, value: float, **labels: str) -> None:
        self.telemetry.set(name, {**self.labels, **labels}, value)

    def received(self, count: int) -> None:
        self.add("component_received_events_total", count)

    def sent(self, count: int, output: str | None = None) -> None:
        """Sinks say no output, the others the name of theirs (`_default` when it has none)."""
        labels = {} if self.kind == "sink" else {"output": output or "_default"}
        self.add("component_sent_events_total", count, **labels)

    def discarded(self, count: int, *, intentional: bool) -> None:
        self.add("component_discarded_events_total", count, intentional="true" if intentional else "false")

    def error(self, error_type: str, stage: str, count: int = 1) -> None:
        self.add("component_errors_total", count, error_type=error_type, stage=stage)
