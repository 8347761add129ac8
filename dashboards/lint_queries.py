"""The rules of `dashboards.lint` that read a panel's queries."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

import promql_parser as promql

from dashboards.queries import expanded
from dashboards.recorded import LONG_SECONDS

HOUR: Final = 3600
RATE_INTERVAL: Final = timedelta(seconds=12_347)
RATES: Final = frozenset({"rate", "irate"})
COUNTS: Final = RATES | {"increase"}
COUNTERS: Final = ("_total", "_bucket", "_count", "_sum")


def _queries(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each panel's title with each of its expressions, with a range that nobody else has for Grafana's variable."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            own = target.get("expr", "").replace("$__rate_interval", f"{RATE_INTERVAL.seconds}s")
            yield panel["title"], expanded(own, HOUR)


def _parsed(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, promql.Expr]]:
    """Each panel's title with its parsed expressions; what is no PromQL is for a rule of its own."""
    for title, expr in _queries(dashboard):
        try:
            yield title, promql.parse(expr)
        except ValueError:
            continue


def _walk(node: Any, parents: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every node of an expression with those above it, the nearest last."""
    yield node, parents
    inner = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "vector_selector", "param")]
    for child in [*inner, *getattr(node, "args", [])]:
        if isinstance(child, promql.Expr):
            yield from _walk(child, (*parents, node))


def _selectors(expr: promql.Expr) -> Iterator[tuple[promql.VectorSelector, tuple[Any, ...]]]:
    for node, parents in _walk(expr):
        if isinstance(node, promql.VectorSelector):
            yield node, parents


def target_promql(dashboard: Mapping[str, Any]) -> Iterator[str]:
    """Queries are PromQL, not only MetricsQL: Grafana Cloud's Prometheus has to answer them as well."""
    for title, expr in _queries(dashboard):
        try:
            promql.parse(expr)
        except ValueError as error:
            yield f"{title}: is no PromQL: {expr}: {error}"


def target_rate_interval(dashboard: Mapping[str, Any]) -> Iterator[str]:
    """A rate is over `$__rate_interval`, whatever the time range shown."""
    for title, expr in _parsed(dashboard):
        for node, parents in _walk(expr):
            if not isinstance(node, promql.MatrixSelector) or not parents:
                continue
            function = parents[-1].func.name if isinstance(parents[-1], promql.Call) else ""
            if function in RATES and node.range != RATE_INTERVAL:
                yield f"{title}: {function}() should be over $__rate_interval"


def target_counter(dashboard: Mapping[str, Any]) -> Iterator[str]:
    """A counter is looked at through rate, irate or increase."""
    for title, expr in _parsed(dashboard):
        for selector, parents in _selectors(expr):
            if not (selector.name or "").endswith(COUNTERS):
                continue
            call = parents[-2] if len(parents) > 1 and isinstance(parents[-1], promql.MatrixSelector) else None
            inside_count = any(isinstance(p, promql.AggregateExpr) and str(p.op) == "count" for p in parents)
            if not inside_count and not (isinstance(call, promql.Call) and call.func.name in COUNTS):
                yield f"{title}: {selector.name} is a counter and needs rate, irate or increase"


def _asked_when_short(parents: tuple[Any, ...]) -> bool:
    """Is a selector below an `and` with a limit of the time shown?"""
    guards = (p.rhs for p in parents if isinstance(p, promql.BinaryExpr) and str(p.op) == "and")
    return any(f"vector({HOUR}) <= {LONG_SECONDS}" in guard.prettify().replace("\n", " ") for guard in guards)


def target_long(dashboard: Mapping[str, Any]) -> Iterator[str]:
    """What is read over all the time shown is read from recorded series when that is long."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            own = target.get("expr", "")
            if target.get("instant") and "$__range" not in own:
                continue
            for _, expr in _parsed({"panels": [{"title": panel["title"], "targets": [target]}]}):
                for selector, parents in _selectors(expr):
                    if ":" not in (selector.name or "") and not _asked_when_short(parents):
                        yield f"{panel['title']}: {selector.name} would be read whole, however much time is shown"


def target_studio(dashboard: Mapping[str, Any]) -> Iterator[str]:
    """Every series is of one studio."""
    for title, expr in _parsed(dashboard):
        for selector, _ in _selectors(expr):
            labels = {matcher.name: matcher for matcher in selector.matchers.matchers}
            if "studio" not in labels or labels["studio"].op != promql.MatchOp.Equal:
                yield f'{title}: {selector.name} has no studio="..."'


def selectors(expr: promql.Expr) -> list[str]:
    """The selectors of an expression as text, without offset and range."""
    return [selector.prettify().partition(" offset ")[0] for selector, _ in _selectors(expr)]
