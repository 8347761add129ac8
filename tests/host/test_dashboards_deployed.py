"""What the dashboards read is in VictoriaMetrics after a deploy, under the labels that its own scraper gives."""

import json
from contextlib import suppress

import promql_parser as promql
import pytest
import requests
from deploy_support import StudioHost
from pipeline_support import connected

from dashboards.lint_queries import selectors
from dashboards.queries import expanded, targets
from dashboards.recorded import EVERY_SECONDS
from dashboards.recordings import CATALOGUE
from lab.run import LabError, wait_for
from studio.model import load_studio
from studio.render.grafana import render
from studio.render.recorded import GROUP

pytestmark = pytest.mark.lab
VISITORS = {
    "fcm_dispatch_latency_ms_bucket",
    "live_streaming_errors_total",
    "provision_state_messages_total",
    "provision_wait_elapsed_seconds_bucket",
    "provision_wait_starts_total",
    "provision_waits_total",
    "run_bytes_bucket",
    "run_chunk_bytes_total",
    "run_chunks_total",
    "runner_bytes_processed",
    "runner_duration_seconds_bucket",
    "runner_error_total",
    "runner_start_total",
    "runner_stop_total",
    "runs_by_device_total",
    "runs_created_total",
    "thingsboard_provision_total",
}
"""What the hub counts only when somebody was there; tests/services/test_dashboards_queries.py has them."""
FAULTS = {"vector_component_discarded_events_total", "vector_component_errors_total", "vector_dead_letters_total"}
NO_SENSOR = {"node_thermal_zone_temp", "node_hwmon_temp_celsius"}


def read() -> set[str]:
    """The names of all metrics that a query of the lab's dashboards reads."""
    found = [t for artifact in render(load_studio("lab")).values() for t in targets(json.loads(artifact.content))]
    return {s.partition("{")[0] for t in found for s in selectors(promql.parse(expanded(t.expr, 900)))}


def stored(studio: StudioHost) -> set[str]:
    """The names of all metrics of the studio `lab` in its VictoriaMetrics."""
    url = f"http://127.0.0.1:{studio.host.port(8428)}/api/v1/label/__name__/values"
    answer = requests.get(url, params={"match[]": '{studio="lab"}'}, timeout=10)
    answer.raise_for_status()
    return set(answer.json()["data"])


def test_what_the_dashboards_read_is_there(studio: StudioHost) -> None:
    for device, topic, payload in (
        ("main", "furnace/main/telemetry", '{"furnace_temp": 1100, "burner": true}'),
        ("main", "furnace/main/flame", "3.1"),
        ("annealer-eye", "camera/annealer-eye/telemetry", '{"temp_max": 500, "temp_min": 400, "temp_mean": 450}'),
        ("fern", "plant/fern/state", '{"moisture": 40, "temperature": 21, "light": 300, "battery": 90}'),
    ):
        with connected(studio, f"device-{device}") as client:
            client.publish(topic, payload)
    elsewhere = VISITORS | FAULTS | NO_SENSOR
    assert elsewhere <= read()
    wanted = {name for name in read() - elsewhere if name not in CATALOGUE}
    with suppress(LabError):
        wait_for("all that is read is stored", lambda: wanted <= stored(studio), seconds=90)
    assert wanted - stored(studio) == set()
    assert len(wanted) > 50


def test_what_a_long_look_reads_is_recorded(studio: StudioHost) -> None:
    """vmalert begins with a group within its interval."""
    always = {
        "job:up:min",
        "component_id:vector_component_received_events:increase2m",
        "mode:node_cpu_seconds:increase2m",
    }
    assert always < set(CATALOGUE)
    wait_for("vmalert records", lambda: always <= stored(studio), seconds=2 * EVERY_SECONDS + 60)
    url = f"http://127.0.0.1:{studio.host.port(8880)}/api/v1/rules"
    (group,) = [g for g in requests.get(url, timeout=10).json()["data"]["groups"] if g["name"] == GROUP]
    assert [rule["name"] for rule in group["rules"]] == list(CATALOGUE)
    assert {rule["name"]: rule["lastError"] for rule in group["rules"] if rule["lastError"]} == {}
