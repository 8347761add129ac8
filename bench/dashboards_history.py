"""A history of one studio for VictoriaMetrics: the series that the dashboards read, with values for any length of time.

Which series there are was taken from a running studio (dashboards_series.json); their values here are made: a day's
rhythm, counters that begin anew each midnight as after a restart, histograms with a fixed shape.
"""

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SERIES: Final = Path(__file__).with_name("dashboards_series.json")
DAY: Final = 86_400
COUNTERS: Final = ("_total", "_bucket", "_count", "_sum")
STILL: Final = frozenset({"up", "node_timex_sync_status", "hub_mqtt_connected", "vm_free_disk_space_limit_bytes"})
USUAL: Final = {
    "node_timex_sync_status": 1,
    "node_timex_maxerror_seconds": 0.02,
    "node_timex_offset_seconds": 0.0004,
    "node_load1": 0.6,
    "node_load15": 0.5,
    "plant_battery": 80,
    "vm_rows": 1.2e8,
    "vm_data_size_bytes": 6e7,
    "vm_cache_entries": 3200,
}
"""Where what a studio of a few minutes has is not what one of years has."""
A_DAY: Final = {
    "vector_http_client_rtt_seconds_sum": 40,
    "vector_http_client_rtt_seconds_count": 9_000,
    "vector_source_send_batch_latency_seconds_sum": 9,
    "vector_source_send_batch_latency_seconds_count": 17_000,
    "vminsert_request_duration_seconds_sum": 60,
    "vminsert_request_duration_seconds_count": 30_000,
    "vmalert_iteration_duration_seconds_sum": 900,
    "vmalert_iteration_duration_seconds_count": 6_000,
    "alertmanager_notification_latency_seconds_sum": 4,
    "alertmanager_notification_latency_seconds_count": 60,
    "node_disk": 2e9,
    "node_network": 4e8,
    "vm_rows_inserted": 3e6,
    "vector_component": 60_000,
    "vector_buffer_received": 60_000,
    "process_cpu": 1500,
    "vmalert_execution": 300_000,
    "http_request": 20_000,
    "hub_event_loop": 80_000,
    "live_render": 9_000,
    "run_chunk_bytes": 300_000,
}
"""How much a counter grows in a day, by how its name begins; other counters some hundred."""
BUSY: Final = {"user": 0.24, "system": 0.1, "iowait": 0.03}
"""Share of a core at the busiest hour, by mode."""
SELDOM: Final = ("runner_error", "dead_letters", "streaming_errors")
NEVER: Final = ("discarded", "ignored", "failed", "failures", "errors_total", "missed")


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels with `__name__`, and a value that it really had."""

    labels: dict[str, str]
    value: float

    @property
    def name(self) -> str:
        return self.labels["__name__"]


def known() -> list[Series]:
    """The series that the dashboards of the lab's studio read."""
    return [Series(labels, value) for labels, value in json.loads(SERIES.read_text())]


def rhythm(second: float) -> float:
    """How busy a studio is at a second of the day: next to nothing at night, most at ten and at four; 0 to 1."""
    hour = second / 3600
    peaks = math.exp(-(((hour - 10) / 2) ** 2)) + math.exp(-(((hour - 16) / 2.5) ** 2))
    return 0.05 + 0.95 * min(1.0, peaks)


def _rng(series: Series, *, without: str = "") -> random.Random:
    labels = {key: value for key, value in series.labels.items() if key != without}
    return random.Random(json.dumps(labels, sort_keys=True))  # noqa: S311 - noise, not a secret


def _counted(series: Series, times: list[int]) -> Iterator[float]:
    rng = _rng(series, without="le")
    a_day: float = rng.choice((100, 300, 900))
    spread = rng.uniform(0.5, 2)
    a_day = next((many for start, many in A_DAY.items() if series.name.startswith(start)), a_day)
    if any(word in series.name for word in SELDOM):
        a_day = 6
    elif any(word in series.name for word in NEVER):
        a_day = 0
    if series.name.endswith("_ms_sum"):
        a_day *= 9
    edge = series.labels.get("le")
    share = 1.0 if edge is None else 1 - math.exp(-(float(edge) / _scale(series) / spread))
    sums, total = [0.0], sum(rhythm(t) for t in times)
    for second in times:
        sums.append(sums[-1] + rhythm(second) / total)
    if series.name.endswith("_seconds_sum"):
        return (round(a_day * done * share, 3) for done in sums[1:])
    return (math.floor(a_day * done * share) for done in sums[1:])


def _scale(series: Series) -> float:
    """What is usual in the unit of a histogram."""
    if "bytes" in series.name:
        return 900
    return 8 if "_ms" in series.name else 20 if "elapsed" in series.name else 2 if "runner" in series.name else 0.004


def _cpu(series: Series, times: list[int], every: int) -> Iterator[float]:
    """Seconds of a core in a mode; idle is what the others leave."""
    mode = series.labels["mode"]
    share, seconds = sum(BUSY.values()) if mode == "idle" else BUSY.get(mode, 0.001), 0.0
    for second in times:
        busy = share * rhythm(second)
        seconds += every * (1 - busy if mode == "idle" else busy)
        yield round(seconds, 2)


def _furnace(series: Series, times: list[int]) -> Iterator[float]:
    """It holds its set point, and loses thirty degrees whenever it is charged or gathered from.

    The main furnace overheats once a day, while it is left closed: when FurnaceTempHigh fires (see `day`).
    """
    rng = _rng(series)
    main = series.labels["furnace"] == "main"
    middle = 1115 if main else 1135
    for second in times:
        too_hot = 85 * max(0.0, min(1.0, (second - 35_400) / 600, (39_000 - second) / 1800)) if main else 0.0
        opened = (second % 2700) < 600 and rhythm(second) > 0.3 and not too_hot
        yield round(middle + too_hot + 8 * math.sin(second / 1900) - (28 if opened else 0) + rng.gauss(0, 0.7), 1)


def _gauge(series: Series, times: list[int]) -> Iterator[float]:
    rng = _rng(series)
    name = series.name
    usual = USUAL.get(name, series.value)
    if name in STILL or name.startswith("furnace_limit"):
        return (usual for _ in times)
    if name == "furnace_burner":
        return (1.0 if (second % 600) < 420 else 0.0 for second in times)
    if name in {
        "live_sessions",
        "hub_runs_active",
        "live_queue_events",
        "provision_waits_in_progress",
        "vector_buffer_size_events",
    }:
        return (float(round(4 * rhythm(second) * rng.random())) for second in times)
    if not usual:
        return (float(rng.random() < 0.01) for _ in times)
    return (round(usual * (0.9 + 0.2 * rhythm(second) + rng.gauss(0, 0.01)), 4) for second in times)


def day(series: Series, every: int) -> list[float]:
    """A day's values, one each `every` seconds; the same for each day."""
    times = list(range(0, DAY, every))
    if series.name == "ALERTS":
        return [
            1.0 if 36_000 <= second < 38_000 or series.labels["alertname"] == "Watchdog" else -1.0 for second in times
        ]
    if series.name == "furnace_furnace_temp":
        return list(_furnace(series, times))
    if series.name.startswith("node_cpu"):
        return list(_cpu(series, times, every))
    return list(_counted(series, times) if series.name.endswith(COUNTERS) else _gauge(series, times))
