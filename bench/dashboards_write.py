"""Storing the made history of a studio in VictoriaMetrics, as often as a studio does."""

import json
from typing import Final

import requests

from bench.dashboards_history import DAY, Series, day, known
from dashboards.queries import SCRAPE_SECONDS

CADENCES: Final = {
    "furnace_flame_voltage": 1,
    "furnace_limit": 15,
    "furnace": 10,
    "pipeline_canary": 10,
    "camera": 10,
    "plant": 60,
}
"""Seconds between the samples of what is not scraped, by how its name begins."""
DAYS_A_REQUEST: Final = 50
CLOCKS: Final = frozenset({"node_time_seconds", "pipeline_canary_sent_seconds"})
STARTED: Final = frozenset({"process_start_time_seconds", "node_boot_time_seconds"})


def cadence(series: Series) -> int:
    """Seconds between two samples of it in a studio."""
    return next((every for start, every in CADENCES.items() if series.name.startswith(start)), SCRAPE_SECONDS)


def write(url: str, first: int, days: int, every: int | None = None) -> int:
    """Give VictoriaMetrics whole days from `first` (epoch seconds, a midnight) on; returns the number of samples.

    every: seconds between samples; as in a studio when it is None.
    """
    with requests.Session() as session:
        samples = sum(_write(session, url, series, range(first, first + days * DAY, DAY), every) for series in known())
        session.get(f"{url}/internal/force_flush", timeout=300).raise_for_status()
    return samples


def _write(session: requests.Session, url: str, series: Series, midnights: range, every: int | None) -> int:
    """One series, some months a request."""
    step = every or cadence(series)
    values = day(series, step)
    kept = [n for n, value in enumerate(values) if series.name != "ALERTS" or value >= 0]
    ready = ",".join(f"{values[n]:.10g}" for n in kept)
    head = f'{{"metric":{json.dumps(series.labels)},"values":['
    lines = []
    for midnight in midnights:
        stamps = [midnight + n * step for n in kept]
        if series.name in CLOCKS:
            ready = ",".join(str(stamp - 2) for stamp in stamps)
        elif series.name in STARTED:
            ready = ",".join([str(midnight)] * len(stamps))
        lines.append(f'{head}{ready}],"timestamps":[{",".join(f"{stamp}000" for stamp in stamps)}]}}\n')
    for number in range(0, len(lines), DAYS_A_REQUEST):
        body = "".join(lines[number : number + DAYS_A_REQUEST]).encode()
        session.post(f"{url}/api/v1/import", data=body, timeout=300).raise_for_status()
    return len(kept) * len(lines)
