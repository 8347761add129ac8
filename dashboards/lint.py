"""Rules that every dashboard keeps: those of grafana/dashboard-linter, and a few of our own.

Where that linter wants variables `job` and `instance` and a match of them in every query, a studio has each part once:
here every query matches `studio` instead. A rule is a function of the dashboard (JSON values) that gives findings.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from dashboards.lint_queries import target_counter, target_long, target_promql, target_rate_interval, target_studio

Found = Iterator[str]
UNITS: Final = frozenset(
    {"none", "short", "percent", "percentunit", "bytes", "Bps", "cps", "ops", "reqps", "bool_on_off"}
    | {"celsius", "volt", "lux", "s", "ms"}
)
PLACE: Final = "${datasource}"


def _panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def template_datasource(dashboard: Mapping[str, Any]) -> Found:
    """There is one variable, the data source."""
    listed = dashboard.get("templating", {}).get("list", [])
    wanted = ("datasource", "datasource", "Data source", "prometheus")
    if [(v["type"], v["name"], v.get("label"), v.get("query")) for v in listed] != [wanted]:
        yield "has not exactly one variable, named datasource, labelled Data source, of type prometheus"


def panel_datasource(dashboard: Mapping[str, Any]) -> Found:
    """Panels and targets ask the data source of the variable."""
    for panel in _panels(dashboard):
        for thing in [panel, *panel.get("targets", [])]:
            if thing.get("datasource", {}).get("uid") != PLACE:
                yield f"{panel['title']}: does not use the variable datasource"


def panel_title_description(dashboard: Mapping[str, Any]) -> Found:
    """Panels say what they show."""
    for panel in _panels(dashboard):
        if not panel.get("title") or not panel.get("description"):
            yield f"panel {panel.get('id')} ({panel.get('title', '')}): has no title or no description"


def panel_units(dashboard: Mapping[str, Any]) -> Found:
    """Panels have a unit that Grafana knows."""
    for panel in _panels(dashboard):
        unit = panel["fieldConfig"]["defaults"].get("unit")
        if unit not in UNITS:
            yield f"{panel['title']}: has no unit that is known here: {unit}"


def panel_targets(dashboard: Mapping[str, Any]) -> Found:
    """Panels ask for something, each target under a letter of its own."""
    for panel in _panels(dashboard):
        refs = [target.get("refId") for target in panel.get("targets", [])]
        if not refs or len(set(refs)) != len(refs):
            yield f"{panel['title']}: has no targets, or two with the same letter"


def uneditable(dashboard: Mapping[str, Any]) -> Found:
    """Changes belong into dashboards/, not into Grafana."""
    if dashboard.get("editable", True):
        yield "is editable"


def crosshair(dashboard: Mapping[str, Any]) -> Found:
    """The panels share the crosshair."""
    if dashboard.get("graphTooltip") != 1:
        yield "has no shared crosshair"


def panel_no_value(dashboard: Mapping[str, Any]) -> Found:
    """A panel without data says so."""
    for panel in _panels(dashboard):
        if not panel["fieldConfig"]["defaults"].get("noValue"):
            yield f"{panel['title']}: has no text for when there is no value"


def stat_first(dashboard: Mapping[str, Any]) -> Found:
    """Figures of now come before what was."""
    kinds = [panel["type"] for panel in _panels(dashboard)]
    if not kinds or kinds[0] != "stat" or "stat" in kinds[kinds.count("stat") :]:
        yield "does not begin with all its figures"


def identity(dashboard: Mapping[str, Any]) -> Found:
    """A uid that Grafana takes, no id of one Grafana, and panels that each have a number of their own."""
    uid = dashboard.get("uid", "")
    if not 0 < len(uid) <= 40 or not uid.replace("-", "").isalnum() or uid != uid.lower():
        yield f"has no uid that every Grafana takes: {uid!r}"
    if "id" in dashboard:
        yield "has the id of one Grafana"
    numbers = [panel.get("id") for panel in dashboard["panels"]]
    if None in numbers or len(set(numbers)) != len(numbers):
        yield "has panels without a number of their own"


def links(dashboard: Mapping[str, Any]) -> Found:
    """The studio's other dashboards are one click away."""
    if not any(
        link["type"] == "dashboards" and "sensor-pipeline" in link["tags"] for link in dashboard.get("links", [])
    ):
        yield "does not lead to the studio's other dashboards"


def layout(dashboard: Mapping[str, Any]) -> Found:
    """Panels lie within 24 columns and not on each other."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        if taken & cells or place["x"] + place["w"] > 24:
            yield f"{panel['title']}: lies on another panel or beyond the edge"
        taken |= cells


RULES: Final[tuple[Callable[[Mapping[str, Any]], Found], ...]] = (
    template_datasource,
    panel_datasource,
    panel_title_description,
    panel_units,
    panel_targets,
    target_promql,
    target_rate_interval,
    target_counter,
    target_studio,
    target_long,
    uneditable,
    crosshair,
    panel_no_value,
    stat_first,
    identity,
    links,
    layout,
)


def lint(dashboard: Mapping[str, Any]) -> list[str]:
    """Every finding, as `rule: what`."""
    return [f"{rule.__name__}: {found}" for rule in RULES for found in rule(dashboard)]
