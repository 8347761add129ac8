"""The program's own metrics, under the names and labels that Vector gives them."""

import socket
import threading
import time
from dataclasses import dataclass

from vector_standin.event import Metric
from vector_standin.histogram import Histogram

Labels = tuple[tuple[str, str], ...]
NEWEST_SHARE = 0.9
"""Weight of the newest value in a smoothed gauge: Vector's default."""


@dataclass(slots=True)
class _Series:
    value: float = 0.0
    updated: float = 0.0
    histogram: Histogram | None = None
    smoothed: bool = False


class Telemetry:
    """Counters, gauges and histograms by name and labels; those not updated for `expire_seconds` are forgotten."""

    def __init__(self, expire_seconds: float = 300) -> None:
        self._expire = expire_seconds
        self._lock = threading.Lock()
        self._series: dict[tuple[str, str, Labels], _Series] = {}
        self._host = socket.gethostname()

    def add(self, name: str, labels: dict[str, str], value: float = 1) -> None:
        with self._lock:
            self._updated("counter", name, labels).value += value

    def set(self, name: str, labels: dict[str, str], value: float) -> None:
        with self._lock:
            self._updated("gauge", name, labels).value = value

    def smooth(self, name: str, labels: dict[str, str], value: float) -> None:
        """A gauge that is the exponentially weighted moving average of the values given."""
        with self._lock:
            series = self._updated("gauge", name, labels)
            before = series.value if series.smoothed else value
            series.value, series.smoothed = NEWEST_SHARE * value + (1 - NEWEST_SHARE) * before, True

    def observe(self, name: str, labels: dict[str, str], value: float, times: int = 1) -> None:
        """Put a value into a histogram, so many times."""
        with self._lock:
            series = self._updated("histogram", name, labels)
            series.histogram = series.histogram or Histogram()
            series.histogram.record(value, times)

    def _updated(self, kind: str, name: str, labels: dict[str, str]) -> _Series:
        series = self._series.setdefault((kind, name, tuple(sorted(labels.items()))), _Series())
        series.updated = time.monotonic()
        return series

    def metrics(self, namespace: str = "vector") -> list[Metric]:
        """Everything there is now, as the source `internal_metrics` sends it."""
        oldest = time.monotonic() - self._expire
        with self._lock:
            self._series = {key: series for key, series in self._series.items() if series.updated >= oldest}
            now = [
                (*key, series.value, series.histogram and series.histogram.copy())
                for key, series in self._series.items()
            ]
        host = (("host", self._host),)
        return [
            Metric(name, value, host + labels, namespace, kind, absolute=True, histogram=histogram)
            for kind, name, labels, value, histogram in now
        ]


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

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        self.telemetry.observe(name, {**self.labels, **labels}, seconds)

    def passed(self, seconds: float, count: int) -> None:
        """So many events were so long in this transform."""
        if count:
            self.telemetry.observe("component_latency_seconds", self.labels, seconds, count)
            self.telemetry.smooth("component_latency_mean_seconds", self.labels, seconds)

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


def sent_on(source: Component, seconds: float) -> None:
    """A source waited so long until what is behind it had taken a batch."""
    for what in ("source_send_latency_seconds", "source_send_batch_latency_seconds"):
        source.observe(what, seconds)
