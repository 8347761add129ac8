"""A dashboard's queries as Grafana sends them: its variables filled in for a time range."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

SCRAPE_SECONDS: Final = 15
POINTS: Final = 1000
"""What a graph asks for at most: the pixels of a panel of half a screen."""


@dataclass(frozen=True, slots=True)
class Target:
    """One query of one panel; `expr` still has Grafana's variables."""

    dashboard: str
    panel: str
    ref: str
    expr: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.dashboard} / {self.panel} / {self.ref}"


def targets(dashboard: dict[str, Any]) -> Iterator[Target]:
    """Every query of a dashboard (as JSON values)."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            instant = target.get("instant", False) and not target.get("range", False)
            yield Target(dashboard["title"], panel["title"], target["refId"], target["expr"], instant)


def step(seconds: float) -> int:
    """Seconds between two points of a graph over some time, never less than between two scrapes."""
    return max(SCRAPE_SECONDS, -(-int(seconds) // POINTS))


def expanded(expr: str, seconds: float) -> str:
    """The expression with Grafana's `$__rate_interval`, `$__interval`, `$__range` and `$__range_s` filled in."""
    interval = step(seconds)
    values = {
        "__range_s": f"{int(seconds)}",
        "__rate_interval": f"{max(interval + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)}s",
        "__interval": f"{interval}s",
        "__range": f"{int(seconds)}s",
    }
    for name, value in values.items():
        expr = expr.replace(f"${name}", value)
    return expr
