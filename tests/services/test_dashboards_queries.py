"""Every query of every panel gives data from the parts as they are: a metric that is renamed fails here."""

import json
import math
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
import pytest
import requests
from dashboards_world import World, query, world

from dashboards.lint_queries import selectors
from dashboards.queries import Target, expanded, step, targets
from studio.model import load_studio
from studio.render.grafana import render

pytestmark = pytest.mark.services
SHOWN_SECONDS = 15 * 60
LONG_SHOWN_SECONDS = 3 * 86_400
"""So long that recorded series are read."""


def every_target() -> list[Target]:
    """Of the lab's studio, in which every kind of panel is."""
    return [t for artifact in render(load_studio("lab")).values() for t in targets(json.loads(artifact.content))]


def number_of_queries() -> int:
    return sum(artifact.content.count(b'"refId"') for artifact in render(load_studio("lab")).values())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as found:
        yield found


def answer(found: World, target: Target, shown: int = SHOWN_SECONDS) -> list[dict[str, Any]]:
    """What Grafana gets for a query when it shows the last so many seconds."""
    asked: dict[str, Any] = {"query": expanded(target.expr, shown), "nocache": "1"}
    if target.instant:
        path = "query"
        asked["time"] = found.at
    else:
        path = "query_range"
        # The last point of the graph is the newest moment: before the world began nothing was recorded.
        every = step(shown)
        asked |= {"start": found.at - shown // every * every, "end": found.at, "step": every}
    got = requests.get(f"{found.url}/api/v1/{path}", params=asked, timeout=30)
    assert got.ok, f"{target}: {got.text}"
    series: list[dict[str, Any]] = got.json()["data"]["result"]
    return series


def values(series: dict[str, Any]) -> list[float]:
    return [float(value) for _, value in series.get("values") or [series["value"]]]


def test_no_query_is_left_out() -> None:
    assert len(every_target()) == number_of_queries() > 100


@pytest.mark.parametrize("shown", [SHOWN_SECONDS, LONG_SHOWN_SECONDS])
@pytest.mark.parametrize("target", every_target(), ids=str)
def test_a_query_gives_data(running: World, target: Target, shown: int) -> None:
    series = answer(running, target, shown)
    assert any(math.isfinite(value) for one in series for value in values(one)), target.expr


@pytest.mark.parametrize("target", every_target(), ids=str)
def test_everything_that_a_query_reads_is_there(running: World, target: Target) -> None:
    """Also what the rest of the query would make up for."""
    for selector in selectors(promql.parse(expanded(target.expr, SHOWN_SECONDS))):
        assert query(running, f"count_over_time({selector}[30m])"), selector


def test_a_metric_of_another_name_would_be_noticed(running: World) -> None:
    real = next(t for t in every_target() if "live_sessions" in t.expr)
    renamed = Target(real.dashboard, real.panel, real.ref, real.expr.replace("live_sessions", "live_session"), True)
    assert answer(running, real)
    assert answer(running, renamed) == []
