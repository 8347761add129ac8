"""A year of what vmalert records for the dashboards: the real rules on a made day, and that day again and again."""

import json
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import requests

from bench.dashboards_history import DAY
from bench.dashboards_write import DAYS_A_REQUEST
from dashboards.recorded import EVERY_SECONDS
from lab.plain import parts
from lab.run import LabError
from studio.model import load_studio
from studio.render.recorded import rule_file, rules

RECORDED: Final = '{__name__=~".+:.+"}'
HOUR: Final = 3600
ABSOLUTE: Final = "process_start_time_seconds"


def replay(url: str, midnight: int) -> float:
    """Record a day that is stored already; returns how many seconds that took."""
    begin, end = (datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for at in (midnight, midnight + DAY))
    with tempfile.TemporaryDirectory(prefix="bench-rules-") as folder:
        (Path(folder) / "recorded.yml").write_text(rule_file(load_studio("lab")))
        words = [
            f"-rule={folder}/*.yml",
            f"-datasource.url={url}",
            f"-remoteWrite.url={url}",
            "-external.label=studio=lab",
            f"-replay.timeFrom={begin}",
            f"-replay.timeTo={end}",
            "-replay.rulesDelay=0s",
            "-replay.disableProgressBar",
        ]
        began = time.perf_counter()
        argv = parts.command(parts.build_root(), "usr/bin/vmalert", *words)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise LabError(f"vmalert could not replay a day: {done.stderr[-1000:]}")
        taken = time.perf_counter() - began
    requests.get(f"{url}/internal/force_flush", timeout=300).raise_for_status()
    return taken


def cost(url: str, end: int) -> tuple[int, float]:
    """How many queries vmalert asks in the hour before `end`, and how many processor seconds they cost."""
    asked = [rule["expr"] for rule in rules(load_studio("lab"))]
    moments = range(end - HOUR, end, EVERY_SECONDS)
    before = _cpu(url)
    with requests.Session() as session:
        for at in moments:
            for expr in asked:
                query = {"query": expr, "time": str(at), "step": "5m"}
                session.get(f"{url}/api/v1/query", params=query, timeout=60).raise_for_status()
    return len(asked) * len(moments), _cpu(url) - before


def _cpu(url: str) -> float:
    lines = requests.get(f"{url}/metrics", timeout=10).text.splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("process_cpu_seconds_total"))


def repeat(url: str, midnight: int, days: int) -> tuple[int, int]:
    """Store a recorded day again for each of so many days before it; returns how many series and samples there are."""
    asked = {"match[]": RECORDED, "start": str(midnight), "end": str(midnight + DAY - 1)}
    lines = requests.get(f"{url}/api/v1/export", params=asked, timeout=300).text.splitlines()
    samples = 0
    with requests.Session() as session:
        for line in lines:
            series = json.loads(line)
            samples += len(series["values"]) * (days + 1)
            for first in range(1, days + 1, DAYS_A_REQUEST):
                body = "".join(_shifted(series, -n * DAY) for n in range(first, min(first + DAYS_A_REQUEST, days + 1)))
                session.post(f"{url}/api/v1/import", data=body.encode(), timeout=300).raise_for_status()
        session.get(f"{url}/internal/force_flush", timeout=300).raise_for_status()
    return len(lines), samples


def _shifted(series: dict[str, Any], seconds: int) -> str:
    """A line of an export some seconds earlier or later; a value that is a time moves as well."""
    values, stamps = series["values"], series["timestamps"]
    if ABSOLUTE in json.dumps(series["metric"]):
        values = [value + seconds for value in values]
    moved = {"metric": series["metric"], "values": values, "timestamps": [stamp + seconds * 1000 for stamp in stamps]}
    return json.dumps(moved, separators=(",", ":")) + "\n"
