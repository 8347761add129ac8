"""The metrics have exactly the names, labels and text that dashboards and alerts were written for."""

from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from hub.metrics import Bounded, Metrics, status_class

GOLDEN = {
    "http_requests": ("route", "method", "status_code"),
    "http_request_latency_ms": ("route",),
    "fcm_dispatch_latency_ms": ("action",),
    "apk_download": ("build_type", "source"),
    "heartbeats_ingested": (),
    "heartbeats_dedup_hits": (),
    "provision_wait_starts": ("method",),
    "provision_waits": ("method", "outcome"),
    "provision_wait_elapsed_seconds": ("method", "fresh"),
    "provision_waits_in_progress": (),
    "provision_state_messages": ("retained", "created"),
    "provision_waiters_notified": (),
    "provision_event_log_failures": (),
    "thingsboard_provision": ("transport", "result"),
    "runner_start": ("device_site", "protocol", "status"),
    "runner_stop": ("device_site", "protocol", "status"),
    "runner_error": ("device_site", "protocol", "status"),
    "runner_duration_seconds": ("device_site", "protocol", "status"),
    "runner_bytes_processed": ("device_site", "protocol", "status"),
    "runs_created": ("device_site", "protocol"),
    "runs_by_device": ("device_id",),
    "run_chunks": ("device_site", "protocol"),
    "run_chunk_bytes": ("device_site", "protocol"),
    "run_bytes": ("device_site", "protocol"),
    "live_mount_duration_seconds": (),
    "live_render_duration_seconds": (),
    "live_connect_duration_seconds": (),
    "live_sessions": (),
    "live_queue_events": (),
    "live_streaming_errors": ("reason",),
    "hub_event_loop_lag_seconds": (),
    "hub_mqtt_connected": (),
    "hub_mqtt_refused": ("reason",),
    "provision_listener_refused": ("reason",),
    "hub_rate_limited": ("limit",),
}
RECORDED = """\
# HELP http_requests_total Requests
# TYPE http_requests_total counter
http_requests_total{method="POST",route="/v1/heartbeat",status_code="200"} 2.0
http_requests_total{method="POST",route="/v1/heartbeat",status_code="4xx"} 1.0
# HELP http_request_latency_ms Time to the answer
# TYPE http_request_latency_ms histogram
http_request_latency_ms_bucket{le="1.0",route="/v1/heartbeat"} 1.0
http_request_latency_ms_bucket{le="5.0",route="/v1/heartbeat"} 2.0
http_request_latency_ms_bucket{le="10.0",route="/v1/heartbeat"} 2.0
"""


def test_the_names_and_labels_are_those_of_the_list() -> None:
    metrics = Metrics()
    collectors = [c for c in vars(metrics).values() if hasattr(c, "_labelnames")]
    assert {c._name: tuple(c._labelnames) for c in collectors} == GOLDEN


def test_recorded_events_give_this_text() -> None:
    metrics = Metrics()
    for code in (200, 200, 404):
        metrics.http_requests.labels("/v1/heartbeat", "POST", status_class(code)).inc()
    for milliseconds in (0.5, 3):
        metrics.http_latency.labels("/v1/heartbeat").observe(milliseconds)
    text = metrics.exposition().decode()
    assert text.startswith(RECORDED)
    assert "requests_created" not in text
    assert len(list(text_string_to_metric_families(text))) == len(GOLDEN)


def counted(metrics: Metrics, n: int) -> None:
    """Something in every kind of family: with labels and without, functions, odd label values, odd numbers."""
    for site in range(n):
        tags = (metrics.site(f'site "{site}" 100 % %s \\ \n'), "mqtt", "ok")
        metrics.runner_duration.labels(*tags).observe(0.1 * n)
        metrics.runner_bytes.labels(*tags).set(12345678901 * n)
    metrics.http("/v1/heartbeat", "POST", 200, 1e9)
    metrics.loop_lag.observe(float("inf"))
    metrics.mqtt_connected.set(float("nan"))
    metrics.heartbeats.inc(1e22)


def test_the_text_is_the_librarys_to_the_byte_whatever_changed_since_the_last_one() -> None:
    metrics = Metrics()
    asked = [0]
    metrics.watch("asked", "asked at each scrape", lambda: asked[0])
    for n in (0, 1, 1, 3, 30):
        counted(metrics, n)
        asked[0] += n
        assert metrics.exposition() == generate_latest(metrics.registry)
        assert metrics.exposition() == generate_latest(metrics.registry), "nothing changed"


def test_series_that_are_taken_away_are_gone_from_the_text() -> None:
    metrics = Metrics()
    counted(metrics, 3)
    assert b"runner_bytes_processed{" in metrics.exposition()
    metrics.runner_duration.remove(metrics.site('site "1" 100 % %s \\ \n'), "mqtt", "ok")
    metrics.runner_bytes.clear()
    assert metrics.exposition() == generate_latest(metrics.registry)
    assert b"runner_bytes_processed{" not in metrics.exposition()
    counted(metrics, 5)
    assert metrics.exposition() == generate_latest(metrics.registry)


def test_a_label_has_a_bounded_set_of_values() -> None:
    bounded = Bounded(2)
    assert [bounded(v) for v in ("a", "b", "c", "a", "", None)] == ["a", "b", "other", "a", "none", "none"]


def test_status_codes_are_coarse() -> None:
    assert [status_class(code) for code in (200, 206, 304, 404, 503)] == ["200", "2xx", "3xx", "4xx", "5xx"]
