"""studio dashboards backfill, by a real VictoriaMetrics and vmalert: long graphs of a time before it was recorded."""

import fcntl
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from alert_support import EPOCH, store, studio, victoriametrics

from dashboards.queries import Target, expanded, step, targets
from dashboards.recorded import EVERY_SECONDS
from lab.plain import parts
from lab.simulator.life import DAY, clean_life
from studio.cli import dashboards_backfill, replay
from studio.cli.app import run
from studio.host.reach import Answer
from studio.render import recorded
from studio.render.grafana import render
from studio.replay import on_host
from studio.replay.question import POINTS_RECORDED, backfill, storage_flags, vmalert_flags

pytestmark = pytest.mark.services
STUDIO = studio()
BEGIN, END = EPOCH, EPOCH + DAY
YEAR = 365 * DAY
TEMPERATURE = "furnace_label:furnace_furnace_temp:avg"
LIVE = {"__name__": TEMPERATURE, "studio": "lab", "furnace": "main", "label": "Main furnace"}
RECORDED_LIVE = {BEGIN + 7200: 990.0, BEGIN + 14_400 + 37: 991.0}
"""Seconds and values of what vmalert itself has recorded already: one on the grid, one beside it."""
ARGUMENTS = ["dashboards", "backfill", "lab", "--from", "2025-06-02T00:00Z", "--to", "2025-06-03T00:00Z"]


def told(url: str, path: str, **params: str | float) -> requests.Response:
    """What the storage answers about all that was written before.

    For ten seconds it remembers which series a selector has found, so each question has a selector of its own.
    """
    requests.get(f"{url}/internal/force_flush", timeout=60).raise_for_status()
    asked = {**params, "extra_filters[]": f'{{asked!="{time.time_ns()}"}}'}
    answer = requests.get(f"{url}{path}", params=asked, timeout=60)
    answer.raise_for_status()
    return answer


def stored(url: str, match: str = '{__name__=~".+:.+"}') -> dict[str, list[tuple[int, float]]]:
    """Seconds and values of each recorded series, sorted."""
    found: dict[str, list[tuple[int, float]]] = {}
    for series in map(json.loads, told(url, "/api/v1/export", **{"match[]": match}).text.splitlines()):
        pairs = zip((at // 1000 for at in series["timestamps"]), series["values"], strict=True)
        found.setdefault(json.dumps(series["metric"], sort_keys=True), []).extend(pairs)
    return {name: sorted(pairs) for name, pairs in found.items()}


def doubled(pairs: list[tuple[int, float]]) -> bool:
    """Whether an interval has more than one sample."""
    return len({at // EVERY_SECONDS for at, _ in pairs}) != len(pairs)


def names(url: str) -> set[str]:
    return set(told(url, "/api/v1/label/__name__/values", start="0").json()["data"])


def plain(question: dict[str, Any], root: Path, url: str, folder: Path) -> dict[str, Any]:
    """The question with plain programs in the place of the containers, about another storage."""
    storage = parts.command(root, "usr/bin/victoria-metrics", *storage_flags("{folder}/data"))
    flags = vmalert_flags(STUDIO, url, "{folder}/rules", POINTS_RECORDED)
    keep = {**question["keep"], "lock": str(folder / "lock")}
    vmalert = parts.command(root, "usr/bin/vmalert", *flags)
    return {**question, "source": url, "storage": storage, "vmalert": vmalert, "cleanup": [], "keep": keep}


def asked(question: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-I", on_host.__file__]
    return subprocess.run(argv, input=json.dumps(question), capture_output=True, text=True, timeout=300, check=False)


def whole(root: Path, url: str, folder: Path) -> dict[str, Any]:
    """The question about all the time there is."""
    begin, end = (datetime.fromtimestamp(at, UTC) for at in (BEGIN, END - EVERY_SECONDS))
    return plain(backfill(STUDIO, begin, end), root, url, folder)


@pytest.fixture(scope="module")
def root() -> Path:
    return parts.build_root()


@pytest.fixture
def url(root: Path, tmp_path: Path) -> Iterator[str]:
    """A storage with a day of which nothing is recorded but two samples."""
    with victoriametrics(root, tmp_path) as found:
        store(found, clean_life(STUDIO), DAY)
        live = {"metric": LIVE, "timestamps": [at * 1000 for at in RECORDED_LIVE], "values": [*RECORDED_LIVE.values()]}
        requests.post(f"{found}/api/v1/import", data=json.dumps(live), timeout=60).raise_for_status()
        requests.get(f"{found}/internal/force_flush", timeout=60).raise_for_status()
        yield found


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch, root: Path, url: str, tmp_path: Path) -> list[tuple[str, str]]:
    """The studio's host is this machine, and a step is eight hours; notes from when to when each was asked for."""
    steps: list[tuple[str, str]] = []

    def run_there(_studio: Any, _argv: list[str], *, stdin: bytes, timeout: float) -> Answer:
        question = json.loads(stdin)
        steps.append((question["from"], question["to"]))
        done = asked(plain(question, root, url, tmp_path))
        return Answer(done.returncode, done.stdout.encode(), done.stderr.strip())

    monkeypatch.setattr(replay, "run_deployed", run_there)
    monkeypatch.setattr(dashboards_backfill, "STEP", timedelta(hours=8))
    return steps


def charts() -> list[Target]:
    """The graphs that a simulated life has something for."""
    found = {path: json.loads(artifact.content) for path, artifact in render(STUDIO).items()}
    of_furnaces = [t for t in targets(found["grafana/furnaces.json"]) if "furnace_furnace_temp:avg" in t.expr]
    of_disks = [t for t in targets(found["grafana/device_health.json"]) if "mountpoint:" in t.expr]
    return [target for target in (*of_furnaces, *of_disks) if not target.instant]


def drawn(url: str, target: Target) -> list[dict[str, Any]]:
    """What a graph of a year gets."""
    asked = {"query": expanded(target.expr, YEAR), "start": BEGIN, "end": END, "step": step(YEAR), "nocache": "1"}
    return list(told(url, "/api/v1/query_range", **asked).json()["data"]["result"])


def value(url: str, expr: str, at: int) -> dict[str, float]:
    """What a query gives at a second, by its labels."""
    answer = told(url, "/api/v1/query", query=expr, time=at, nocache="1").json()["data"]["result"]
    return {json.dumps(s["metric"], sort_keys=True): float(s["value"][1]) for s in answer}


def test_the_graphs_of_a_year_are_filled_with_what_the_parts_own_series_say(
    url: str, there: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    before, alerts = names(url), stored(url, "ALERTS")
    seen = {str(target): drawn(url, target) for target in charts()}
    assert len(seen) == 2
    # The two samples that there are draw one line; nothing else is there.
    assert sum(len(series["values"]) for found in seen.values() for series in found) <= 2

    assert run(ARGUMENTS) == 0
    assert there == [
        ("2025-06-02T16:00:00Z", "2025-06-02T23:58:00Z"),
        ("2025-06-02T08:00:00Z", "2025-06-02T15:58:00Z"),
        ("2025-06-02T00:00:00Z", "2025-06-02T07:58:00Z"),
    ]
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["1/3", "2/3", "3/3", "lab:"]
    assert all(len(drawn(url, target)[0]["values"]) >= 2 for target in charts())

    filled = stored(url)
    assert said[-1] == f"lab: {sum(map(len, filled.values())) - len(RECORDED_LIVE):,} samples were missing"
    # vmalert's own stay alone in their intervals.
    main = dict(filled[json.dumps(LIVE, sort_keys=True)])
    assert {at: kept for at, kept in main.items() if kept < 1000} == RECORDED_LIVE
    assert len(main) == DAY // EVERY_SECONDS
    assert not [name for name, pairs in filled.items() if doubled(pairs)]
    # No alert is written, and nothing but what is recorded.
    assert stored(url, "ALERTS") == alerts
    assert names(url) - before <= set(recorded.names())

    compared = 0
    for rule in recorded.rules(STUDIO):
        for at in (BEGIN + 6000, BEGIN + 36_000, END - EVERY_SECONDS):
            for labels, expected in value(url, rule["expr"], at).items():
                metric = {**json.loads(labels), "__name__": rule["record"], "studio": "lab"}
                got = dict(filled[json.dumps(metric, sort_keys=True)])[at]
                assert got == pytest.approx(expected, rel=1e-9), (rule["record"], labels, at)
                compared += math.isfinite(expected)
    assert compared > 60


def test_run_again_and_after_it_was_ended_nothing_is_there_twice(
    root: Path, url: str, there: list[tuple[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = whole(root, url, tmp_path)
    # As far as one gets that is killed while it writes.
    half["keep"]["series"] = half["keep"]["series"][:5]
    half["to"] = "2025-06-02T11:00:00Z"
    done = json.loads(asked(half).stdout)
    assert done["samples"] > 600
    assert run(ARGUMENTS) == 0
    once = stored(url)
    assert not [name for name, pairs in once.items() if doubled(pairs)]
    missing = sum(map(len, once.values())) - len(RECORDED_LIVE) - done["samples"]
    assert capsys.readouterr().out.splitlines()[-1] == f"lab: {missing:,} samples were missing"
    assert run(ARGUMENTS) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "lab: nothing was missing"
    assert stored(url) == once


def test_one_at_a_time_and_what_is_wrong_is_told(
    root: Path, url: str, there: list[tuple[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored(url)
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run(ARGUMENTS) == 1
    assert "another back-fill is at work on this host" in capsys.readouterr().err
    assert run([*ARGUMENTS[:3], "--from", "2001-01-01T00:00Z", "--to", "2001-01-01T10:00Z"]) == 1
    said = capsys.readouterr()
    assert said.out.count("nothing is stored") == 2
    assert "lab: nothing is stored of that time: choose another" in said.err
    done = asked({**whole(root, url, tmp_path), "vmalert": ["/bin/false"]})
    assert (done.returncode, done.stderr.strip()) == (1, "vmalert could not replay:")
    assert run([*ARGUMENTS[:3], "--from", "5m"]) == 2
    assert "what is newer is recorded anyway" in capsys.readouterr().err
    assert stored(url) == before
