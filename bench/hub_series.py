"""What a scrape of /metrics costs when every series there can be is there."""

import statistics
import time
from pathlib import Path

from prometheus_client import generate_latest

from bench.table import Row
from hub.metrics import Metrics

SCRAPES = 15


def _count_everything(m: Metrics, n: int) -> None:
    """Something in every series there can be."""
    for site in range(21):
        for protocol in ("fcm", "mqtt"):
            tags = (m.site(f"site-{site}"), protocol)
            for counter in (m.runs, m.chunks, m.chunk_bytes):
                counter.labels(*tags).inc(n)
            m.run_bytes.labels(*tags).observe(n)
            m.runner_start.labels(*tags, "started").inc()
            for status in ("ok", "error", "timeout"):
                m.runner_duration.labels(*tags, status).observe(n)
                m.runner_bytes.labels(*tags, status).set(n)
                (m.runner_stop if status == "ok" else m.runner_error).labels(*tags, status).inc()
    for number in range(51):
        m.fcm_latency.labels(m.action(f"action-{number}")).observe(n)
        m.runs_by_device.labels(m.device(f"device-{number}")).inc()
    for route in range(40):
        for method in ("GET", "POST"):
            for code in (200, 404, 503):
                m.http(f"/route-{route}", method, code, n)


async def metrics_page(_: Path) -> list[Row]:
    """Between two scrapes none or all of the series changed."""
    m = Metrics()
    _count_everything(m, 1)
    lines = m.exposition().count(b"\n")
    rows = []
    for what, changes in (("none", False), ("all", True)):
        ours: list[float] = []
        theirs: list[float] = []
        for n in range(SCRAPES):
            if changes:
                _count_everything(m, n)
            for text, taken in ((m.exposition, ours), (lambda: generate_latest(m.registry), theirs)):
                began = time.perf_counter()
                text()
                taken.append((time.perf_counter() - began) * 1000)
        mine, other = statistics.median(ours), statistics.median(theirs)
        title = f"/metrics, {lines:,} lines, {what} changed"
        told = f"prometheus-client {other:.1f} ms"
        rows.append(Row(title, f"{mine:.1f} ms", told, f"{mine / other:.2f}", "5 ms (asked for: 50)", mine <= 5))
    return rows
