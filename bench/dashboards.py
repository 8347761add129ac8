"""How long each dashboard's queries take, over a day and over a year of one studio's data.

All queries of a dashboard are asked at once, as Grafana does, of a VictoriaMetrics with the flags of a studio's; cold
is without its cache of results (the faster of two), warm is the same question again half a minute later.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import requests

from bench import dashboards_history as history
from bench import dashboards_year as year
from bench.dashboards_write import CADENCES, write
from bench.table import Row
from dashboards.queries import Target, expanded, step, targets
from lab.plain import parts
from lab.ports import free_ports
from lab.run import LabError
from studio.model import load_studio
from studio.render import victoriametrics
from studio.render.grafana import render

GOAL_SECONDS: Final = 1.0
RANGES: Final = {"24 h": 86_400, "1 year": 365 * 86_400}
AT_ONCE: Final = 6
"""Connections that a browser has to one server."""
FULL_DAYS: Final = 3
"""So many days have all samples that a studio stores; dashboards read no others of them."""
OLD_EVERY_SECONDS: Final = 600


@contextmanager
def storage(folder: Path) -> Iterator[str]:
    """A VictoriaMetrics with a studio's flags, but for its scraper."""
    studio = load_studio("lab")
    container = victoriametrics.render(studio).container
    if container is None:
        raise LabError("VictoriaMetrics is no container any more: this benchmark must be changed")
    (port,) = free_ports(1)
    changed = {"-storageDataPath": str(folder), "-httpListenAddr": f"127.0.0.1:{port}"}
    flags = dict(word.partition("=")[::2] for word in container.command if "promscrape" not in word) | changed
    words = [f"{name}={value}" for name, value in flags.items()]
    argv = parts.command(parts.build_root(), "usr/bin/victoria-metrics", *words)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _ready(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def _ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            if requests.get(f"{url}/health", timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise LabError("VictoriaMetrics does not start")


def ask(url: str, target: Target, end: float, seconds: int, *, cold: bool) -> list[dict[str, Any]]:
    """What Grafana gets for one query."""
    asked: dict[str, Any] = {"query": expanded(target.expr, seconds)}
    if cold:
        asked["nocache"] = "1"
    if target.instant:
        path, asked["time"] = "query", end
    else:
        path = "query_range"
        asked |= {"start": end - seconds, "end": end, "step": step(seconds)}
    answer = requests.get(f"{url}/api/v1/{path}", params=asked, timeout=300)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return found


def seconds_of(url: str, asked: list[Target], end: float, seconds: int, *, cold: bool) -> float:
    """Time until the last of a dashboard's queries is answered, all of them asked at once.

    Raises:
        LabError: a query gave nothing, so that its time says nothing.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        begun = time.perf_counter()
        found = list(pool.map(lambda target: ask(url, target, end, seconds, cold=cold), asked))
        taken = time.perf_counter() - begun
    if empty := [str(target) for target, series in zip(asked, found, strict=True) if not series]:
        raise LabError(f"no data of {seconds} s: {', '.join(empty)}")
    return taken


def dashboards() -> dict[str, dict[str, Any]]:
    """Each dashboard of the lab's studio, whose furnaces here send as often as in most studios."""
    studio = load_studio("lab")
    every = {"expected_interval_seconds": CADENCES["furnace"]}
    furnaces = tuple(f.model_copy(update=every) for f in studio.furnaces)
    rendered = render(studio.model_copy(update={"furnaces": furnaces}))
    return {Path(path).stem: json.loads(artifact.content) for path, artifact in rendered.items()}


def stored(url: str, last: int, days: int) -> list[Row]:
    """Store some days up to a midnight (epoch seconds); tells what it was."""
    begun = time.perf_counter()
    full = write(url, last - FULL_DAYS * history.DAY, FULL_DAYS)
    old = write(url, last - days * history.DAY, days - FULL_DAYS, OLD_EVERY_SECONDS)
    replayed = year.replay(url, last - history.DAY)
    series, recorded = year.repeat(url, last - history.DAY, days - 1)
    took = time.perf_counter() - begun
    asked, cpu = year.cost(url, last)
    parts_own = f"{len(history.known())} series of the parts, the last {FULL_DAYS} days in full"
    return [
        Row(parts_own, f"{(full + old) / 1e6:.0f} million samples", "-", "-", "-", None),
        Row(f"{series} recorded series, {days} days", f"{recorded / 1e6:.0f} million samples", "-", "-", "-", None),
        Row("all stored", f"{took:.0f} s", f"{replayed:.1f} s, a day replayed", "-", "-", None),
        Row(
            f"recording for an hour, {asked:,} queries",
            f"{cpu:.1f} CPU s",
            f"{cpu / 36:.2f} % of a core",
            "-",
            "-",
            None,
        ),
    ]


def measure(days: int = 365) -> list[Row]:
    """A row for each dashboard and range."""
    last = int(time.time()) // history.DAY * history.DAY
    with tempfile.TemporaryDirectory(prefix="bench-dashboards-") as folder, storage(Path(folder)) as url:
        rows = stored(url, last, days)
        for name, dashboard in dashboards().items():
            asked = list(targets(dashboard))
            for label, seconds in RANGES.items():
                cold = min(seconds_of(url, asked, last, seconds, cold=True) for _ in range(2))
                seconds_of(url, asked, last, seconds, cold=False)
                warm = seconds_of(url, asked, last + 30, seconds, cold=False)
                title = f"{name}, {label}, {len(asked)} queries"
                shown = f"{cold:.2f} s cold"
                met = cold < GOAL_SECONDS
                rows.append(Row(title, shown, f"{warm:.2f} s warm", f"{warm / cold:.2f}", f"< {GOAL_SECONDS:g} s", met))
    return rows
