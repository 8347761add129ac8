"""Every metric of the hub, in one registry, by the names the dashboards expect. Labels have a bounded set of values."""

from collections.abc import Callable
from typing import Final, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from hub.exposition import Exposition

METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})
COARSE_MS: Final = (1, 5, 10, 25, 50, 100, 250, 500, 1000, 5000)
SECONDS: Final = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)
FAST_SECONDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)
BYTES: Final = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
F = TypeVar("F", Counter, Gauge, Histogram)

disable_created_metrics()  # type: ignore[no-untyped-call]


class Bounded:
    """At most `limit` values of a label; what comes after them is called "other"."""

    def __init__(self, limit: int = 50) -> None:
        self._seen: set[str] = set()
        self._limit = limit

    def __call__(self, value: str | None) -> str:
        if not value:
            return "none"
        if value not in self._seen:
            if len(self._seen) >= self._limit:
                return "other"
            self._seen.add(value)
        return value


def status_class(code: int) -> str:
    """200, 2xx, 3xx, 4xx or 5xx."""
    return "200" if code == 200 else f"{code // 100}xx"


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._exposition = Exposition()
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        self.action = Bounded()
        self.build_type = Bounded(10)
        self.site = Bounded(20)
        self.device = Bounded(50)
        self._http()
        self._devices()
        self._provisioning()
        self._runs()
        self._live()
        self._own()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return self._added(Counter(name, text, labels, registry=self.registry))

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return self._added(Gauge(name, text, labels, registry=self.registry))

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return self._added(Histogram(name, text, labels, buckets=buckets, registry=self.registry))

    def _added(self, family: F) -> F:
        self._exposition.add(family)
        return family

    def _http(self) -> None:
        self._http_series: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}
        self.http_requests = self._counter("http_requests_total", "Requests", "route", "method", "status_code")
        self.http_latency = self._histogram("http_request_latency_ms", "Time to the answer", COARSE_MS, "route")

    def http(self, route: str, method: str, status: int, latency_ms: float) -> None:
        """Count an answered request. `labels()` is asked once for each that differ: it costs more than counting."""
        key = (route, method, status_class(status))
        series = self._http_series.get(key)
        if series is None:
            series = self.http_requests.labels(*key), self.http_latency.labels(route)
            self._http_series[key] = series
        series[0].inc()
        series[1].observe(latency_ms)

    def _devices(self) -> None:
        self.fcm_latency = self._histogram("fcm_dispatch_latency_ms", "Time of an FCM call", COARSE_MS, "action")
        self.apk_downloads = self._counter("apk_download_total", "APK downloads", "build_type", "source")
        self.heartbeats = self._counter("heartbeats_ingested_total", "Heartbeats stored")
        self.heartbeat_dedups = self._counter("heartbeats_dedup_hits_total", "Heartbeats that were there already")

    def _provisioning(self) -> None:
        self.waits = self._counter("provision_waits_total", "Waits by how they ended", "method", "outcome")
        self.wait_starts = self._counter("provision_wait_starts_total", "Waits begun", "method")
        self.wait_elapsed = self._histogram(
            "provision_wait_elapsed_seconds", "Time until a device satisfied a wait", SECONDS, "method", "fresh"
        )
        self.waiting = self._gauge("provision_waits_in_progress", "Waits in progress")
        self.state_messages = self._counter(
            "provision_state_messages_total", "State messages processed", "retained", "created"
        )
        self.waiters_notified = self._counter("provision_waiters_notified_total", "Waiters notified by state messages")
        self.mqtt_refused = self._counter("hub_mqtt_refused_total", "MQTT messages that were refused", "reason")
        self.listener_refused = self._counter(
            "provision_listener_refused_total", "Connections that the provisioning listener ended", "reason"
        )
        self.event_log_failures = self._counter(
            "provision_event_log_failures_total", "Lines that could not be written to the event log"
        )
        self.provisions = self._counter("thingsboard_provision_total", "Provisioning requests", "transport", "result")

    def _runs(self) -> None:
        tags = ("device_site", "protocol", "status")
        self.runner_start = self._counter("runner_start_total", "Runs begun", *tags)
        self.runner_stop = self._counter("runner_stop_total", "Runs ended well", *tags)
        self.runner_error = self._counter("runner_error_total", "Runs ended badly", *tags)
        self.runner_duration = self._histogram("runner_duration_seconds", "From command to end", SECONDS, *tags)
        self.runner_bytes = self._gauge("runner_bytes_processed", "Bytes of the last run that ended", *tags)
        self.runs = self._counter("runs_created_total", "Runs made", "device_site", "protocol")
        self.runs_by_device = self._counter("runs_by_device_total", "Runs made, by device as long as few", "device_id")
        self.chunks = self._counter("run_chunks_total", "Chunks of output stored", "device_site", "protocol")
        self.chunk_bytes = self._counter("run_chunk_bytes_total", "Bytes of output stored", "device_site", "protocol")
        self.run_bytes = self._histogram("run_bytes", "Bytes of output of a run", BYTES, "device_site", "protocol")

    def _live(self) -> None:
        self.live_mount = self._histogram("live_mount_duration_seconds", "From page to its first event", FAST_SECONDS)
        self.live_render = self._histogram("live_render_duration_seconds", "Making one view of the page", FAST_SECONDS)
        self.live_connect = self._histogram("live_connect_duration_seconds", "Accepting an event stream", FAST_SECONDS)
        self.live_sessions = self._gauge("live_sessions", "Pages connected")
        self.live_queue = self._gauge("live_queue_events", "Events queued for the slowest page")
        self.live_errors = self._counter("live_streaming_errors_total", "Event streams that broke off", "reason")

    def _own(self) -> None:
        self.loop_lag = self._histogram("hub_event_loop_lag_seconds", "Lateness of a timer", FAST_SECONDS)
        self.mqtt_connected = self._gauge("hub_mqtt_connected", "1 while the broker is connected")
        self.rate_limited = self._counter("hub_rate_limited_total", "Requests refused by a rate limit", "limit")

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge whose value is asked for at each scrape."""
        self._gauge(name, text).set_function(read)

    def exposition(self) -> bytes:
        """The text of /metrics."""
        return self._exposition.text()

    def process(self) -> bytes:
        """What the operating system says of this process (start, CPU, memory, open files), as text."""
        return generate_latest(self._process)
