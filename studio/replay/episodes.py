"""From the samples of ALERTS to the episodes in which each alert fired."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from studio.render import rules

INTERNAL: Final = frozenset({"__name__", "alertname", "alertgroup", "alertstate", "db", "label", "studio"})


@dataclass(frozen=True)
class Episode:
    """One firing of one alert, from its first to its last evaluation (epoch seconds)."""

    alert: str
    labels: dict[str, str]
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    @property
    def about(self) -> str:
        """Its labels but for those that every alert has."""
        own = {k: v for k, v in self.labels.items() if k not in {"type", "severity"}}
        return ", ".join(f"{k}={v}" for k, v in sorted(own.items()))


def _runs(times: list[float], gap: float) -> Iterator[tuple[float, float]]:
    """Begin and end of each run of times no more than `gap` apart."""
    begin = times[0]
    for earlier, later in pairwise([*times, float("inf")]):
        if later - earlier > gap:
            yield begin, earlier
            begin = later


def _of_series(metric: dict[str, str], times: list[float]) -> Iterator[Episode]:
    labels = {k: v for k, v in metric.items() if k not in INTERNAL}
    if times:
        for begin, end in _runs(times, 2 * rules.interval(metric.get("alertgroup", ""))):
            yield Episode(metric["alertname"], labels, begin, end)


def episodes(lines: Iterable[str]) -> list[Episode]:
    """All episodes, the earliest first, from lines of VictoriaMetrics' export; a series may be in several."""
    metrics: dict[str, dict[str, str]] = {}
    times: dict[str, set[float]] = defaultdict(set)
    for series in (json.loads(line) for line in lines if line.strip()):
        key = json.dumps(series["metric"], sort_keys=True)
        metrics[key] = series["metric"]
        pairs = zip(series["timestamps"], series["values"], strict=True)
        times[key].update(at / 1000 for at, value in pairs if value)
    found = [episode for key, metric in metrics.items() for episode in _of_series(metric, sorted(times[key]))]
    return sorted(found, key=lambda e: (e.begin, e.alert, e.about))


def timeline(found: Iterable[Episode], begin: float, end: float, width: int) -> dict[tuple[str, str], str]:
    """A bar of `width` characters for every alert and what it is about: where it fired between begin and end."""
    bars: dict[tuple[str, str], list[str]] = {}
    for episode in found:
        bar = bars.setdefault((episode.alert, episode.about), ["·"] * width)
        first, last = (int((at - begin) / (end - begin) * width) for at in (episode.begin, episode.end))
        for place in range(max(first, 0), min(last, width - 1) + 1):
            bar[place] = "█"
    return {key: "".join(bar) for key, bar in bars.items()}
