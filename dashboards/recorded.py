"""What vmalert keeps in thin series beside the parts' own, so that a look at a year reads few samples.

A graph of up to two days reads the parts' own series; of a longer time, those recorded each two minutes, which are
summed up by the labels that panels show. Names are `level:metric:operation`, as Prometheus' documentation advises.
"""

from dataclasses import dataclass
from typing import Final

STUDIO: Final = "studio=<<studio>>"
EVERY_SECONDS: Final = 120
WINDOW: Final = "2m"
INCREASE: Final = f"increase{WINDOW}"
LONG_SECONDS: Final = 2 * 86_400
"""Of a longer time, the points of a graph are further apart than the samples of a recorded series."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded series.

    Attributes:
        name: of the series.
        expr: the query that gives it.
        now: what a panel shows of up to two days in its place.
        over: what stands for its samples between two points of a longer graph: their avg, min or max.
        counter: the counter whose growth it is; "" for what is none.
    """

    name: str
    expr: str
    now: str
    over: str = "avg"
    counter: str = ""

    def shown(self, match: str = STUDIO) -> str:
        """For a graph of any length; `match` instead of all of the studio."""
        per = f" / {EVERY_SECONDS}" if self.counter else ""
        long = f"{self.over}_over_time({self.name}{{{match}}}[$__rate_interval]){per}"
        return by_length(self.now.replace(STUDIO, match), long)

    def grown(self, by: str = "studio", match: str = STUDIO) -> str:
        """For a figure: how much a counter has grown in all the time shown; `by` and `match` are of its labels."""
        return by_length(
            f"sum by ({by}) (increase({self.counter}{{{match}}}[$__range]))",
            f"sum by ({by}) (sum_over_time({self.name}{{{match}}}[$__range]))",
        )


def by_length(short: str, long: str) -> str:
    """The first expression for up to two days, the second beyond.

    VictoriaMetrics asks what stands right of `and` first, and nothing more when that is no series. A comparison alone
    gives a series without values; an aggregate by a label drops it.
    """
    limit = LONG_SECONDS
    return (
        f"((({short}) and on() max by (studio) (vector($__range_s) <= {limit}))"
        f" or (({long}) and on() max by (studio) (vector($__range_s) > {limit})))"
    )


def name(metric: str, by: str, operation: str) -> str:
    """`level:metric:operation`."""
    return f"{by.replace(', ', '_')}:{metric.removesuffix('_total')}:{operation}"


def counter(metric: str, by: str, match: str = STUDIO, *, how: str = "sum") -> Recorded:
    """A counter's growth, summed (or averaged) by some labels; a graph shows it a second.

    Not a rate: VictoriaMetrics counts the first sample of a new series as growth (one below ten), but not in a rate.
    """
    of, by_ = f"{metric}{{{match}}}", f"{how} by ({by})"
    return Recorded(
        name=name(metric, by, INCREASE),
        expr=f"{by_} (increase({of}[{WINDOW}]))",
        now=f"{by_} (rate({of}[$__rate_interval]))",
        counter=metric,
    )


def gauge(how: str, metric: str, by: str = "studio", match: str = STUDIO) -> Recorded:
    """A gauge's largest, least, mean or summed value by some labels."""
    of, within = f"{metric}{{{match}}}", how if how in {"min", "max"} else "avg"
    return Recorded(
        name=name(metric, by, how),
        expr=f"{how} by ({by}) ({within}_over_time({of}[{WINDOW}]))",
        now=f"{how} by ({by}) ({of})",
        over=within,
    )


def other(name_: str, over: str, expr: str) -> Recorded:
    """Any expression that reads the same whatever the time shown."""
    return Recorded(name_, expr, expr, over)
