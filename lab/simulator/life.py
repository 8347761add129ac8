"""Days of a studio's life as stored series: what its devices sent and what its parts said of themselves.

A clean life: the furnaces hold what they are set to, follow it up in the morning and down at night, when their burners
come and go, lose a little at each gather, and the annealer follows its curve. What goes wrong is put into it by
`Life.trouble`.
"""

import json
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from studio.model import Studio

HOUR: Final = 3600
DAY: Final = 24 * HOUR
SCRAPE: Final = 15
WORKING, IDLE = 1140.0, 1090.0  # °C
# Samples a line: VictoriaMetrics takes lines of 10 MB.
LINE: Final = 100_000
JOBS: Final = ("victoriametrics", "vector", "vmalert", "alertmanager", "node_exporter", "hub")
DISK: Final = {"mountpoint": "/", "fstype": "ext4", "device": "/dev/mmcblk0p2"}
Value = Callable[[float], float | None]
Change = Callable[[float, float], float | None]


@dataclass
class Series:
    """One series: its labels, seconds between samples, and its value at a second of the life (None: no sample)."""

    labels: dict[str, str]
    step: int
    value: Value


@dataclass
class Life:
    """All series of a studio by their name in the story, e.g. `temp main`, `up vector`, `disk`."""

    series: dict[str, Series] = field(default_factory=dict)

    def trouble(self, names: Callable[[str], bool], begin: float, end: float, change: Change) -> None:
        """From begin to end the series so named have the value that `change` makes of (second, value)."""
        for name, series in self.series.items():
            if names(name):
                series.value = _between(series.value, begin, end, change)

    def lines(self, epoch: int, seconds: int) -> Iterator[str]:
        """The lines of VictoriaMetrics' import, from an epoch second on."""
        for series in self.series.values():
            found = [(at, value) for at in range(0, seconds, series.step) if (value := series.value(at)) is not None]
            for first in range(0, len(found), LINE):
                times, values = zip(*found[first : first + LINE], strict=True)
                stamps = [(epoch + at) * 1000 for at in times]
                yield json.dumps({"metric": series.labels, "values": values, "timestamps": stamps}) + "\n"


def _between(value: Value, begin: float, end: float, change: Change) -> Value:
    def changed(at: float) -> float | None:
        was = value(at)
        return change(at, was) if begin <= at < end and was is not None else was

    return changed


def _set_point(at: float) -> float:
    """Idle at night, an hour of heating up at six, an hour of turning down at eight in the evening."""
    hour = at % DAY / HOUR
    return IDLE + (WORKING - IDLE) * max(0.0, min(1.0, hour - 6, 21 - hour))


def _burner(at: float) -> float:
    """Called all the time while the furnace works; to hold what it idles at, three of five minutes."""
    working = 6 <= at % DAY / HOUR < 21
    return 1.0 if working or at % 300 < 180 else 0.0


def _gather(at: float) -> float:
    """What an opened door costs: 18 °C in a minute, back within two more; every ten minutes of the working day."""
    since = at % 600
    if not 9 <= at % DAY / HOUR < 17 or since >= 180:
        return 0.0
    return -18 * (since / 60 if since < 60 else 1 - (since - 60) / 120)


def _annealer(at: float) -> float:
    """480 °C held through the day, from the evening on 40 °C an hour down, in the morning up again."""
    hour = at % DAY / HOUR
    if 7 <= hour < 18:
        return 480
    return max(200.0, 480 - 40 * (hour - 18)) if hour >= 18 else 200 + 280 * hour / 7


def _noise(name: str, deviation: float) -> Value:
    rng = random.Random(name)  # noqa: S311 - noise, not a secret
    return lambda _at: rng.gauss(0, deviation)


def _devices(studio: Studio, life: Life) -> None:
    for furnace in studio.furnaces:
        shared = {"db": "sensors", "studio": studio.name, "furnace": furnace.id, "label": furnace.title}
        step = int(furnace.expected_interval_seconds)
        noise = _noise(furnace.id, 0.4)

        def temperature(at: float, noise: Value = noise) -> float:
            return round(_set_point(at) + _gather(at) + (noise(at) or 0.0), 2)

        life.series[f"temp {furnace.id}"] = Series({"__name__": "furnace_furnace_temp", **shared}, step, temperature)
        life.series[f"burner {furnace.id}"] = Series({"__name__": "furnace_burner", **shared}, step, _burner)
        if furnace.flame_voltage is not None:
            flicker = _noise(f"{furnace.id} flame", 0.05)

            def volts(at: float, flicker: Value = flicker) -> float:
                burning = 3.45 * _burner(at) + 0.05
                return round(burning + 0.1 * math.sin(at / 7) + (flicker(at) or 0.0), 3)

            life.series[f"flame {furnace.id}"] = Series({"__name__": "furnace_flame_voltage", **shared}, step, volts)
        for name, limit in (("low", furnace.low_celsius), ("high", furnace.high_celsius)):
            labels = {"__name__": f"furnace_limit_{name}", "studio": studio.name, "furnace": furnace.id}
            life.series[f"limit {name} {furnace.id}"] = Series(labels, SCRAPE, lambda _, limit=limit: limit)  # type: ignore[misc]
    for kind, fields in (("camera", {"temp_mean": _annealer}), ("plant", {"moisture": lambda _: 45.0})):
        for its_kind, device in studio.devices:
            for name, value in fields.items() if its_kind == kind else ():
                labels = {"db": "sensors", "studio": studio.name, kind: device.id, "label": device.title}
                step = int(device.expected_interval_seconds)
                life.series[f"{kind} {device.id}"] = Series({"__name__": f"{kind}_{name}", **labels}, step, value)
    canary = {"__name__": "pipeline_canary_sent_seconds", "studio": studio.name, "db": "sensors"}
    life.series["canary"] = Series(canary, 30, lambda at: at)


def _parts(studio: Studio, life: Life) -> None:
    def scraped(story: str, job: str, name: str, value: Value, **labels: str) -> None:
        own = {"__name__": name, "studio": studio.name, "job": job, "instance": f"127.0.0.1:{job}", **labels}
        life.series[story] = Series(own, SCRAPE, value)

    def counts(each_second: float) -> Value:
        return lambda at: round(at * each_second)

    for job in JOBS:
        scraped(f"up {job}", job, "up", lambda _: 1.0)
        if job != "vector":
            scraped(f"start {job}", job, "process_start_time_seconds", lambda _: 1000.0)
    scraped("uptime", "vector", "vector_uptime_seconds", lambda at: at + 60)
    mqtt, sink = {"component_type": "mqtt", "component_id": "broker"}, {"component_type": "influxdb_logs"}
    scraped("received", "vector", "vector_component_received_events_total", counts(14), **mqtt)
    scraped("mqtt errors", "vector", "vector_component_errors_total", counts(0), **mqtt)
    scraped("sent", "vector", "vector_component_sent_events_total", counts(4), component_kind="sink", **sink)
    lost = {"component_kind": "sink", "intentional": "false", **sink}
    scraped("lost", "vector", "vector_component_discarded_events_total", counts(0), **lost)
    # A device that sends rubbish now and then.
    letters = {"kind": "plant", "reason": "not_json"}
    scraped("dead letters", "vector", "vector_dead_letters_total", lambda at: at // 1800, **letters)
    scraped("rejected", "victoriametrics", "vm_rows_ignored_total", counts(0), reason="big_timestamp")
    scraped("failing rules", "vmalert", "vmalert_execution_errors_total", counts(0), group="shop")
    failed = {"integration": "webhook", "reason": "serverError"}
    scraped("undelivered", "alertmanager", "alertmanager_notifications_failed_total", counts(0), **failed)
    scraped("hub broker", "hub", "hub_mqtt_connected", lambda _: 1.0)
    requests = {"route": "/v1/heartbeat", "method": "POST"}
    scraped("requests", "hub", "http_requests_total", counts(0.1), status_code="200", **requests)
    scraped("5xx", "hub", "http_requests_total", lambda at: at // (6 * HOUR), status_code="5xx", **requests)
    scraped("event log", "hub", "provision_event_log_failures_total", counts(0))
    site = {"device_site": "workshop", "protocol": "mqtt"}
    scraped("runs", "hub", "runner_start_total", lambda at: at // 600, status="started", **site)
    scraped("failed runs", "hub", "runner_error_total", lambda at: at // (3 * HOUR), status="timeout", **site)
    scraped("waits", "hub", "provision_waits_total", lambda at: at // (8 * HOUR), method="ble", outcome="timeout")


def _host(studio: Studio, life: Life) -> None:
    def node(story: str, name: str, value: Value, **labels: str) -> None:
        own = {"__name__": f"node_{name}", "studio": studio.name, "job": "node_exporter", "instance": "127.0.0.1:9100"}
        life.series[story] = Series({**own, **labels}, SCRAPE, value)

    def day(at: float) -> float:
        return math.sin(2 * math.pi * at / DAY)

    node("time", "time_seconds", lambda at: 1e9 + at)
    node("boot", "boot_time_seconds", lambda at: 1e9 - 40 * DAY + (at // 7200) % 2)
    node("sync", "timex_sync_status", lambda _: 1.0)
    # Half a gigabyte a day of 30.
    node("disk", "filesystem_avail_bytes", lambda at: 22e9 - 0.5e9 * at / DAY, **DISK)
    node("disk size", "filesystem_size_bytes", lambda _: 30e9, **DISK)
    node("disk read-only", "filesystem_readonly", lambda _: 0.0, **DISK)
    node("memory", "memory_MemAvailable_bytes", lambda at: 1.6e9 + 0.3e9 * day(at))
    node("memory size", "memory_MemTotal_bytes", lambda _: 4e9)
    node("heat", "thermal_zone_temp", lambda at: 58 + 8 * day(at - 9 * HOUR), type="cpu-thermal", zone="0")
    for cpu in range(4):
        node(f"idle {cpu}", "cpu_seconds_total", lambda at: 0.7 * at, cpu=str(cpu), mode="idle")


def clean_life(studio: Studio) -> Life:
    """A life in which nothing goes wrong."""
    life = Life()
    _devices(studio, life)
    _parts(studio, life)
    _host(studio, life)
    return life
