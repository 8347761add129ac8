"""The dashboards of every kind of studio: they keep the rules, and take their limits from where the alerts do."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest

from dashboards.frame import fill
from dashboards.lint import RULES, lint
from dashboards.lint_queries import selectors
from dashboards.queries import expanded, step, targets
from dashboards.recorded import by_length
from dashboards.recordings import CATALOGUE, HOST, HUB, PROVISIONING, SHOP, STACK, VECTOR, WATCHED_MOUNTS
from studio.model import Studio, load_studio
from studio.paths import ROOT
from studio.render import loki, recorded, rules
from studio.render.catalogue import entries
from studio.render.grafana import UID_LENGTH, render, short

EVERYTHING = ROOT / "tests/golden/everything.yaml"
NAMES = [
    "furnaces",
    "runner_overview",
    "liveview_health",
    "command_throughput",
    "provisioning",
    "device_health",
    "pipeline",
]
Dashboard = dict[str, Any]


def studio(name: str) -> Studio:
    return load_studio(EVERYTHING if name == "everything" else name)


def rendered(found: Studio) -> dict[str, Dashboard]:
    """Each dashboard by its name."""
    return {Path(path).stem: json.loads(artifact.content) for path, artifact in render(found).items()}


def panel(dashboard: Dashboard, title: str) -> Dashboard:
    (found,) = [p for p in dashboard["panels"] if p["title"] == title]
    return dict(found)


def steps(found: Dashboard) -> list[float | None]:
    """Where the colour changes."""
    return [entry["value"] for entry in found["fieldConfig"]["defaults"]["thresholds"]["steps"]]


def read_all(found: Studio, pattern: re.Pattern[str]) -> list[str]:
    """What a pattern finds in the expressions of all alerts, recordings and panels."""
    exprs = [rule["expr"] for group in rules.groups(found).values() for rule in group]
    exprs += [rule["expr"] for rule in recorded.rules(found)]
    exprs += [target.expr for dashboard in rendered(found).values() for target in targets(dashboard)]
    return [match for expr in exprs for match in pattern.findall(expr)]


def read(expr: str) -> set[str]:
    """The names of the series that an expression reads."""
    return {s.partition("{")[0] for s in selectors(promql.parse(expanded(expr, 900)))}


def long_named() -> Studio:
    return load_studio("rosewood").model_copy(update={"name": "a" * 40})


@pytest.mark.parametrize("name", ["lab", "rosewood", "everything"])
def test_every_dashboard_keeps_every_rule(name: str) -> None:
    found = rendered(studio(name))
    assert list(found) == NAMES
    assert {one: lint(dashboard) for one, dashboard in found.items()} == {one: [] for one in NAMES}


@pytest.mark.parametrize("name", ["lab", "rosewood", "everything"])
def test_no_placeholder_is_left(name: str) -> None:
    for artifact in render(studio(name)).values():
        assert b"<<" not in artifact.content


def test_a_studio_with_a_long_name_has_uids_that_grafana_takes() -> None:
    uids = [dashboard["uid"] for dashboard in rendered(long_named()).values()]
    assert len(set(uids)) == len(NAMES)
    assert max(map(len, uids)) <= UID_LENGTH
    assert short("a" * 40) != short("a" * 39 + "b")
    assert short("rosewood") == "rosewood"


def good() -> Dashboard:
    return rendered(load_studio("rosewood"))["device_health"]


def first(dashboard: Dashboard, kind: str = "stat") -> Dashboard:
    found: Dashboard = next(p for p in dashboard["panels"] if p["type"] == kind)
    return found


def asks(expr: str) -> Callable[[Dashboard], None]:
    def change(dashboard: Dashboard) -> None:
        first(dashboard)["targets"][0]["expr"] = expr

    return change


def draws(expr: str) -> Callable[[Dashboard], None]:
    def change(dashboard: Dashboard) -> None:
        first(dashboard, "timeseries")["targets"][0]["expr"] = expr

    return change


def second_variable(dashboard: Dashboard) -> None:
    dashboard["templating"]["list"].append({"type": "query", "name": "job"})


def fixed_datasource(dashboard: Dashboard) -> None:
    first(dashboard)["targets"][0]["datasource"]["uid"] = "prometheus"


def fixed_in_panel(dashboard: Dashboard) -> None:
    del first(dashboard)["datasource"]


def same_letter(dashboard: Dashboard) -> None:
    targets_of = first(dashboard)["targets"]
    targets_of.append(copy.deepcopy(targets_of[0]))


def stat_last(dashboard: Dashboard) -> None:
    dashboard["panels"].append({**first(dashboard), "id": 999, "gridPos": {"x": 0, "y": 900, "w": 4, "h": 4}})


def same_place(dashboard: Dashboard) -> None:
    dashboard["panels"][-1]["gridPos"] = dict(dashboard["panels"][-2]["gridPos"])


def beyond_the_edge(dashboard: Dashboard) -> None:
    dashboard["panels"][-1]["gridPos"]["w"] = 25


def same_number(dashboard: Dashboard) -> None:
    dashboard["panels"][-1]["id"] = dashboard["panels"][-2]["id"]


BROKEN: list[tuple[str, Callable[[Dashboard], Any]]] = [
    ("template_datasource", lambda d: d["templating"]["list"].clear()),
    ("template_datasource", second_variable),
    ("panel_datasource", fixed_datasource),
    ("panel_datasource", fixed_in_panel),
    ("panel_title_description", lambda d: first(d).update(description="")),
    ("panel_title_description", lambda d: first(d).update(title="")),
    ("panel_units", lambda d: first(d)["fieldConfig"]["defaults"].update(unit="degrees")),
    ("panel_units", lambda d: first(d)["fieldConfig"]["defaults"].pop("unit")),
    ("panel_targets", lambda d: first(d)["targets"].clear()),
    ("panel_targets", same_letter),
    ("target_promql", asks('sum(up{studio="x"}')),
    ("target_promql", asks('WITH (a = up{studio="x"}) a')),
    ("target_promql", asks('topk_avg(3, up{studio="x"})')),
    ("target_rate_interval", asks('rate(x_total{studio="x"}[5m])')),
    ("target_rate_interval", asks('sum(rate(x_total{studio="x"}[1m]))')),
    ("target_counter", asks('sum(x_total{studio="x"})')),
    ("target_counter", asks('max_over_time(x_total{studio="x"}[5m])')),
    ("target_counter", asks('histogram_quantile(0.5, x_bucket{studio="x"})')),
    ("target_studio", asks('up{job="vector"}')),
    ("target_studio", asks('up{studio="x"} / on(job) up')),
    ("target_studio", asks('up{studio=~"x.*"}')),
    ("target_long", draws('sum(up{studio="x"})')),
    ("target_long", draws('up{studio="x"} and on() max by (studio) (vector($__range_s) > 172800)')),
    ("target_long", draws('a:b:c{studio="x"} / on() sum(up{studio="x"})')),
    ("target_long", asks('sum(increase(x_total{studio="x"}[$__range]))')),
    ("uneditable", lambda d: d.update(editable=True)),
    ("crosshair", lambda d: d.update(graphTooltip=0)),
    ("panel_no_value", lambda d: first(d)["fieldConfig"]["defaults"].pop("noValue")),
    ("stat_first", stat_last),
    ("identity", lambda d: d.update(uid="Has_Capitals")),
    ("identity", lambda d: d.update(uid="x" * 41)),
    ("identity", lambda d: d.update(id=7)),
    ("identity", same_number),
    ("links", lambda d: d["links"].clear()),
    ("layout", same_place),
    ("layout", beyond_the_edge),
]


@pytest.mark.parametrize(("rule", "break_it"), BROKEN, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(BROKEN)])
def test_a_broken_dashboard_is_found(rule: str, break_it: Callable[[Dashboard], Any]) -> None:
    dashboard = good()
    assert lint(dashboard) == []
    break_it(dashboard)
    assert {found.partition(":")[0] for found in lint(dashboard)} == {rule}


def test_every_rule_has_a_dashboard_that_breaks_it() -> None:
    assert {rule for rule, _ in BROKEN} == {rule.__name__ for rule in RULES}


def test_a_rate_within_more_and_a_count_of_counters_are_fine() -> None:
    dashboard = good()
    asks('1 - avg(rate(x_total{studio="x"}[$__rate_interval])) / count(count by (cpu) (y_total{studio="x"}))')(
        dashboard
    )
    assert lint(dashboard) == []


def test_what_is_recorded_and_what_is_asked_for_little_time_may_be_drawn() -> None:
    dashboard = good()
    for expr in (
        'avg_over_time(a:b:c{studio="x"}[$__rate_interval])',
        by_length('up{studio="x"}', 'a:b:c{studio="x"}'),
    ):
        draws(expr)(dashboard)
        assert lint(dashboard) == []


def test_every_recorded_series_has_a_name_of_its_own_and_is_drawn() -> None:
    asked = {s for d in rendered(load_studio("lab")).values() for t in targets(d) for s in read(t.expr) if ":" in s}
    assert asked == set(CATALOGUE)
    assert len(CATALOGUE) == sum(map(len, (SHOP, HUB, PROVISIONING, HOST, VECTOR, STACK)))
    assert not [name for name in CATALOGUE if not re.fullmatch(r"[a-z_]+:\w+:[a-z0-9]+", name)]


def test_recording_rules_match_the_studio_whatever_its_name() -> None:
    rules = recorded.rules(load_studio("lab").model_copy(update={"name": 'x"}'}))
    assert [rule["record"] for rule in rules] == list(CATALOGUE)
    assert not [rule for rule in rules if r'studio="x\"}"' not in rule["expr"]]
    assert not [rule for rule in rules if "$__" in rule["expr"] or "<<" in rule["expr"]]


def test_a_furnaces_colours_are_its_limits_in_celsius() -> None:
    furnaces = rendered(load_studio("lab"))["furnaces"]
    assert steps(panel(furnaces, "Main furnace")) == [None, 1050, 1180]
    assert steps(panel(furnaces, "Glory hole")) == [None, pytest.approx(1037.778), pytest.approx(1232.222)]
    assert steps(panel(furnaces, "Flame of Main furnace")) == [None, 1.5, 8]
    assert steps(panel(furnaces, "Unsteadiness of Main furnace")) == [None, 0.35]
    assert not [p for p in furnaces["panels"] if p["title"] == "Flame of Glory hole"]


@pytest.mark.parametrize(
    ("dashboard", "title", "alert", "sign"),
    [
        ("device_health", "Processor", "HostBusy", 1),
        ("device_health", "Memory available", "HostMemoryLow", 1),
        ("device_health", "Disk free", "DiskAlmostFull", 1),
        ("device_health", "Temperature", "HostHot", 1),
        ("pipeline", "Canary", "PipelineCanaryMissing", 1),
        ("pipeline", "Unusable", "DeadLetters", 1),
        ("runner_overview", "Runs that failed", "RunnerErrors", 1),
        ("furnaces", "Readings", "SamplesSparse", 1),
        ("furnaces", "Change in ten minutes", "FurnaceTempFallingFast", -1),
    ],
)
def test_a_panels_colour_changes_where_its_alert_fires(dashboard: str, title: str, alert: str, sign: int) -> None:
    threshold = entries()[alert].threshold
    assert threshold is not None
    for found in rendered(load_studio("lab"))[dashboard]["panels"]:
        if found["title"] == title:
            coloured = steps(found)
            if coloured != [None]:
                assert coloured == [None, sign * threshold]
                return
    pytest.fail(f"{dashboard} has no {title} with colours")


def test_alerts_and_dashboard_look_at_the_same_file_systems() -> None:
    """Where mount points are chosen they are all of those that are watched."""
    found = read_all(load_studio("lab"), re.compile(r"node_filesystem_\w+\{([^}]*)\}"))
    chosen = [re.search(r'mountpoint=~"([^"]*)"', matchers) for matchers in found if "mountpoint" in matchers]
    assert len(chosen) > 5
    assert {match and match[1] for match in chosen} == {WATCHED_MOUNTS}


def test_no_colour_changes_at_a_number_of_the_dashboards_own() -> None:
    lab = load_studio("lab")
    alerts = {alert.threshold for alert in entries().values()}
    limits = {n for f in lab.furnaces for n in (f.low_celsius, f.high_celsius)}
    flames = {n for f in lab.furnaces if (v := f.flame_voltage) for n in (v.low, v.high, v.erratic)}
    panels = [p for dashboard in rendered(lab).values() for p in dashboard["panels"] if p["type"] != "row"]
    found = {abs(n) for p in panels for n in steps(p) if n is not None}
    assert len(found) > 10
    assert found - {1} <= alerts | limits | flames


def test_every_alert_is_named_by_a_panel() -> None:
    panels = [p for dashboard in rendered(load_studio("lab")).values() for p in dashboard["panels"]]
    named = set(re.findall(r"\((docs/runbook/\w+\.md)\)", " ".join(p.get("description") or "" for p in panels)))
    assert named == {f"docs/runbook/{name}.md" for name in [*entries(), *loki.names()]}


def test_runbooks_are_named_and_where_they_are_published_linked() -> None:
    plain = load_studio("rosewood")
    disk = next(p for p in rendered(plain)["device_health"]["panels"] if p["title"] == "Disk free")
    assert "DiskAlmostFull (docs/runbook/DiskAlmostFull.md)" in disk["description"]
    assert disk["links"] == []
    base = "https://git.example.org/runbook"
    published = plain.model_copy(update={"alerts": plain.alerts.model_copy(update={"runbooks": base})})
    disk = next(p for p in rendered(published)["device_health"]["panels"] if p["title"] == "Disk free")
    alerts = ["DiskAlmostFull", "DiskFills24h", "DiskReadOnly"]
    assert [link["url"] for link in disk["links"]] == [f"{base}/{alert}.md" for alert in alerts]


def test_every_runbook_that_a_panel_names_is_there() -> None:
    named = set()
    for artifact in render(load_studio("lab")).values():
        named |= set(artifact.content.decode().split("docs/runbook/")[1:])
    pages = {text.partition(")")[0] for text in named}
    assert len(pages) > 15
    assert [page for page in pages if not (ROOT / "docs/runbook" / page).is_file()] == []


def test_a_value_that_looks_like_a_placeholder_stays_what_it_is() -> None:
    text = '"<<label a>> <<title>> {studio=<<studio>>}"'
    filled = fill(text, {"label a": '<<title>> "x"', "title": "<<name>>\\", "name": "rosewood"})
    assert json.loads(filled) == '<<title>> "x" <<name>>\\ {studio="rosewood"}'


@pytest.mark.parametrize(
    ("seconds", "interval", "rate"), [(900, 15, 60), (86_400, 87, 102), (31_536_000, 31_536, 31_551)]
)
def test_grafanas_variables_are_filled_in_as_grafana_does(seconds: int, interval: int, rate: int) -> None:
    assert step(seconds) == interval
    text = expanded("a[$__rate_interval] b[$__interval] c[$__range]", seconds)
    assert text == f"a[{rate}s] b[{interval}s] c[{seconds}s]"


def test_every_query_is_a_target() -> None:
    dashboard = good()
    found = list(targets(dashboard))
    assert len(found) == json.dumps(dashboard).count('"expr"')
    assert {t.instant for t in found if t.panel == "Clock"} == {True, False}


def test_the_benchmarks_history_has_the_series_that_the_queries_read() -> None:
    history = json.loads((ROOT / "bench/dashboards_series.json").read_text())
    asked = [t.expr for d in rendered(load_studio("lab")).values() for t in targets(d)]
    assert {labels["__name__"] for labels, _ in history} == {s for expr in asked for s in read(expr) if ":" not in s}
    assert {labels["studio"] for labels, _ in history} == {"lab"}
