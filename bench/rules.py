"""The alert rules: what they cost VictoriaMetrics on a year of a studio's data, and how soon a flame-out is told."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import requests

from bench.table import Row
from lab.plain import parts
from lab.plain.run import Running, running
from lab.ports import free_ports
from lab.run import step, wait_for
from lab.simulator.life import DAY, HOUR, Life, clean_life
from studio.model import load_studio
from studio.render import rules
from studio.replay.question import storage_flags

YEAR: Final = 365 * DAY
LOOK_BACK: Final = 9 * DAY
OLD_STEP: Final = 300
PART: Final = 900
FLAME_HOLD: Final = 60.0
GOAL_SECONDS: Final = FLAME_HOLD + 20
ROUNDS: Final = 3


def _cpu(pid: int) -> float:
    """Processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _storage(root: Path, folder: Path) -> Iterator[tuple[str, int]]:
    port = free_ports(1)[0]
    flags = [word.replace("{port}", str(port)) for word in storage_flags(str(folder / "data"))]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(parts.command(root, "usr/bin/victoria-metrics", *flags), stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for("VictoriaMetrics", lambda: requests.get(f"{url}/health", timeout=2).ok, 60)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(60)


def _store(url: str, life: Life, epoch: int, seconds: int) -> None:
    lines = (line.encode() for line in life.lines(epoch, seconds))
    requests.post(f"{url}/api/v1/import", data=lines, timeout=900).raise_for_status()


def _year(url: str, end: int) -> int:
    """A year that ends at an epoch second: its last days, which rules look at, in full. Returns its samples."""
    studio = load_studio("lab")
    old, new = clean_life(studio), clean_life(studio)
    for series in old.series.values():
        series.step = max(series.step, OLD_STEP)
    _store(url, old, end - YEAR, YEAR - LOOK_BACK)
    _store(url, new, end - LOOK_BACK, LOOK_BACK)
    requests.get(f"{url}/internal/force_flush", timeout=120).raise_for_status()
    return sum((YEAR - LOOK_BACK) // s.step for s in old.series.values()) + sum(
        LOOK_BACK // s.step for s in new.series.values()
    )


def _evaluate(url: str, begin: int, seconds: int) -> int:
    """Every rule at each of its evaluations from a moment on, asked as vmalert asks; returns how many there were."""
    asked = 0
    with requests.Session() as session:
        for group, found in rules.groups(load_studio("lab")).items():
            for at in range(begin, begin + seconds, rules.interval(group)):
                for rule in found:
                    query = {"query": rule["expr"], "time": str(at), "step": "5m"}
                    session.get(f"{url}/api/v1/query", params=query, timeout=60).raise_for_status()
                    asked += 1
    return asked


def cost() -> list[Row]:
    root = parts.build_root()
    with tempfile.TemporaryDirectory() as folder, _storage(root, Path(folder)) as (url, pid):
        end = int(time.time()) // HOUR * HOUR
        with step("a year of a studio's data"):
            samples = _year(url, end)
        before = _cpu(pid)
        time.sleep(10)
        idle = (_cpu(pid) - before) / 10 * HOUR
        before = _cpu(pid)
        asked = _evaluate(url, end - PART, PART)
        hour = (_cpu(pid) - before) / PART * HOUR
    return [
        Row(
            f"evaluating all rules for an hour ({asked * HOUR // PART:,} queries, {samples / 1e6:.0f} million samples)",
            f"{hour:.0f} CPU s ({hour / HOUR:.1%} of a core)",
            f"{idle:.0f} CPU s, nobody asks",
            f"{hour * 1000 / (asked * HOUR / PART):.2f} ms a query",
            "-",
            None,
        )
    ]


class FlameOuts:
    """The whole pipeline on loopback, whose main furnace's flame can be put out."""

    def __init__(self, found: Running) -> None:
        self.vmalert = f"http://127.0.0.1:{found.studio.ports.vmalert}"
        self.records = f"http://127.0.0.1:{found.recorder}/lab/records"
        argv, *rest = found.processes.known["simulator"]
        settings = Path(argv[-1])
        self.moods = settings.with_name("moods.json")
        settings.write_text(json.dumps({**json.loads(settings.read_text()), "moods": str(self.moods)}))
        feed = found.processes.running["simulator"]
        feed.terminate()
        feed.wait()
        found.processes.start("simulator", argv, *rest)

    def told(self, status: str) -> float:
        """When the shop was last told of a flame-out, epoch seconds; 0 for never."""
        lines = requests.get(self.records, timeout=5).text.splitlines()
        alerts = ((r["received"], a) for r in map(json.loads, lines) for a in r["body"]["alerts"])
        found = (at for at, a in alerts if (a["labels"]["alertname"], a["status"]) == ("FlameOut", status))
        return max(found, default=0.0)

    def healthy(self) -> bool:
        firing = requests.get(f"{self.vmalert}/api/v1/alerts", timeout=5).json()["data"]["alerts"]
        return not [a for a in firing if a["name"] == "FlameOut"]

    def once(self) -> float:
        """Seconds from a flame-out to its alert at the shop's webhook."""
        began = time.time()
        self.moods.write_text(json.dumps({"main": "flame-out"}))
        try:
            wait_for("the flame-out is told", lambda: self.told("firing") > began, 180)
        finally:
            self.moods.write_text("{}")
        taken = self.told("firing") - began
        wait_for("it is told that it burns again", lambda: self.told("resolved") > began and self.healthy(), 180)
        return taken


def delivery(rounds: int) -> list[Row]:
    with running() as found:
        flame = FlameOuts(found)
        with step("a minute of a burning flame"):
            time.sleep(60)
        with step(f"{rounds} flame-outs"):
            taken = sorted(flame.once() for _ in range(rounds))
    return [
        Row(
            "from flame-out to delivered alert",
            f"{taken[len(taken) // 2]:.0f} s ({taken[0]:.0f} to {taken[-1]:.0f} s)",
            f"{FLAME_HOLD:.0f} s, the rule's `for`",
            f"`for` + {taken[-1] - FLAME_HOLD:.0f} s at worst",
            f"<= {GOAL_SECONDS:.0f} s",
            taken[-1] <= GOAL_SECONDS,
        )
    ]


def measure(rounds: int) -> list[Row]:
    """Rows: processor time of the evaluations, then the time to the webhook."""
    return [*cost(), *delivery(min(rounds, ROUNDS))]
