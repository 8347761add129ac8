"""Panels as every dashboard here draws them, built with grafana-foundation-sdk.

An expression is PromQL with `<<studio>>` where the studio's quoted name goes; Grafana fills in `$__rate_interval`
and the like. Colours change at a rule's bound or at the inventory's limits, so a panel and its alert cannot disagree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap as build_heatmap
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard, heatmap
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.queries import POINTS

NO_VALUE: Final = "no data"
DATASOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
GOOD: Final = "green"
BAD: Final = "red"
COLD: Final = "blue"

Steps = Sequence[tuple[float | None, str]]
PLAIN: Final[Steps] = ((None, GOOD),)
ANY: Final[Steps] = ((None, GOOD), (1, BAD))
OFF_ON: Final[Steps] = ((None, BAD), (1, GOOD))
PanelBuilder = Builder[dashboard.Panel]
_Panel = TypeVar("_Panel", stat.Panel, timeseries.Panel, build_heatmap.Panel)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a dashboard takes from an alert: the number its expression compares with, and where its runbook is."""

    bound: float | None
    runbook: str


Rules = Mapping[str, Rule]


@dataclass(frozen=True, slots=True)
class Query:
    """One target: an expression, and the legend of the series that it gives."""

    expr: str
    legend: str = ""


def above(rules: Rules, alert: str, colour: str = BAD) -> Steps:
    """Good below the alert's bound, `colour` from there on."""
    return ((None, GOOD), (_bound(rules, alert), colour))


def below(rules: Rules, alert: str, colour: str = BAD) -> Steps:
    """`colour` below the alert's bound, good from there on."""
    return ((None, colour), (_bound(rules, alert), GOOD))


def between(low: float, high: float) -> Steps:
    """Cold below `low`, good up to `high`, bad above."""
    return ((None, COLD), (low, GOOD), (high, BAD))


def _bound(rules: Rules, alert: str) -> float:
    bound = rules[alert].bound
    if bound is None:
        raise ValueError(f"the alert {alert} compares with no number: it gives no threshold")
    return bound


def _thresholds(steps: Steps) -> build.ThresholdsConfig:
    made = [dashboard.Threshold(value=value, color=colour) for value, colour in steps]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(made)


def _described(  # noqa: PLR0913, PLR0917 - what a panel is
    panel: _Panel, title: str, description: str, unit: str, steps: Steps, none: str
) -> _Panel:
    return (
        panel.title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .thresholds(_thresholds(steps))
        .no_value(none)
    )


def _target(query: Query, ref: str) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .datasource(DATASOURCE)
        .expr(query.expr)
        .legend_format(query.legend or "__auto")
        .ref_id(ref)
    )


def _refs(queries: Sequence[Query]) -> list[tuple[Query, str]]:
    return [(query, chr(ord("A") + number)) for number, query in enumerate(queries)]


def number(  # noqa: PLR0913 - what a panel is, each by its name
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    steps: Steps = PLAIN,
    width: int = 6,
    none: str = NO_VALUE,
    decimals: int | None = None,
) -> stat.Panel:
    """A figure (or one for each series) of now, on the colour of its threshold."""
    panel = _described(stat.Panel(), title, description, unit, steps, none).span(width).height(4)
    panel.color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
    panel.reduce_options(build_common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.graph_mode(common.BigValueGraphMode.NONE)
    if decimals is not None:
        panel.decimals(decimals)
    for query, ref in _refs(queries):
        panel.with_target(_target(query, ref).instant())
    return panel


def lines(  # noqa: PLR0913 - what a panel is, each by its name
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    steps: Steps | None = None,
    width: int = 12,
    height: int = 8,
    none: str = NO_VALUE,
    zero: bool = False,
) -> timeseries.Panel:
    """Series over time; with `steps` their values are drawn as lines, with `zero` the axis begins there."""
    panel = _described(timeseries.Panel(), title, description, unit, steps or PLAIN, none).span(width).height(height)
    panel.color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC))
    panel.max_data_points(POINTS)
    panel.line_width(1).fill_opacity(5).show_points(common.VisibilityMode.AUTO)
    panel.legend(
        build_common.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel.tooltip(
        build_common.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    if steps is not None:
        style = build_common.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel.thresholds_style(style)
    if zero:
        panel.min(0)
    for query, ref in _refs(queries):
        panel.with_target(_target(query, ref).range())
    return panel


def distribution(title: str, description: str, unit: str, query: Query, width: int = 12) -> build_heatmap.Panel:
    """A histogram over time; the query gives one series for each `le`."""
    panel = _described(build_heatmap.Panel(), title, description, unit, PLAIN, NO_VALUE).span(width).height(8)
    panel.max_data_points(POINTS)
    panel.y_axis(build_heatmap.YAxisConfig().unit(unit))
    panel.color(build_heatmap.HeatmapColorOptions().mode(heatmap.HeatmapColorMode.SCHEME).scheme("Oranges").steps(32))
    target = _target(Query(query.expr, "{{le}}"), "A").range().format(PromQueryFormat.HEATMAP)
    return panel.with_target(target)


def with_runbook(panel: _Panel, rules: Rules, *alerts: str) -> _Panel:
    """The panel with the runbook of each alert that watches the same thing: a link where they are published."""
    pages = {alert: rules[alert].runbook for alert in alerts}
    published = {alert: page for alert, page in pages.items() if page.startswith("https://")}
    named = ", ".join(f"{alert} ({page})" if alert not in published else alert for alert, page in pages.items())
    text = panel.build().description
    panel.description(f"{text} Alert{'s' * (len(alerts) > 1)}: {named}.")
    return panel.links(
        [
            build.DashboardLink(f"Runbook: {alert}").type(dashboard.DashboardLinkType.LINK).url(page).target_blank(True)
            for alert, page in published.items()
        ]
    )


def dashed(panel: timeseries.Panel, ref: str, colour: str) -> timeseries.Panel:
    """The series of one target as a dashed line in one colour: a limit, not a measurement."""
    properties = {
        "custom.lineStyle": {"fill": "dash", "dash": [10, 10]},
        "color": {"mode": "fixed", "fixedColor": colour},
        "custom.fillOpacity": 0,
    }
    made = [dashboard.DynamicConfigValue(id_val=name, value=value) for name, value in properties.items()]
    return panel.override_by_query(ref, made)
