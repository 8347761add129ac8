"""The text of /metrics, in milliseconds however many series there are.

prometheus-client makes the text, but makes all of it anew each time. Here a family's text is the library's, cut at the
values: only values are read again, and only a family in which one changed is written anew, in one piece.
The attributes that begin with an underscore are the library's own (0.26); a test compares every byte with its text.
"""

from collections.abc import Callable, Iterable
from itertools import accumulate, chain
from math import inf
from typing import Any, Final

from prometheus_client import Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.utils import floatToGoString

Family = Counter | Gauge | Histogram
PLAIN: Final = 1e6
"""Below it Go writes a number as Python does."""
_go_text: Callable[[float], str] = floatToGoString


class _Family:
    """The lines of a family: their beginnings are learnt once, their values change."""

    def __init__(self, family: Family) -> None:
        self._family: Any = family
        self._read = next(read for kind, read in _READ.items() if isinstance(family, kind))
        self._template = ""
        self._known: list[Any] = []
        self._values: list[float] = []
        self._text = ""

    def text(self) -> str:
        # The library adds children while requests are served, and hardly ever takes one away.
        children: dict[tuple[str, ...], Any] = self._family._metrics if self._family._labelnames else {(): self._family}
        if not self._template or [*children.values()] != self._known:
            self._learn(children)
        values = [*chain.from_iterable([self._read(child) for child in self._known])]
        if values != self._values or not self._text:
            texts = [repr(value) if -inf < value < PLAIN else _go_text(value) for value in values]
            self._values, self._text = values, self._template % tuple(texts)
        return self._text

    def _learn(self, children: dict[tuple[str, ...], Any]) -> None:
        """Take what the library writes before each value of the children that are new; of all, when one is gone."""
        now = [*children.values()]
        if not self._template or now[: len(self._known)] != self._known:
            title = _lines(Metric(self._family._name, self._family._documentation, self._family._type))
            self._template, self._known = "".join(f"{_escaped(line)}\n" for line in title), []
        added = Metric(self._family._name, self._family._documentation, self._family._type)
        for values, child in [*children.items()][len(self._known) :]:
            own = dict(zip(self._family._labelnames, values, strict=True))
            for sample in child._child_samples():
                added.add_sample(self._family._name + sample.name, own | sample.labels, 0)
        heads = [line.rpartition(" ")[0] for line in _lines(added)[2:]]
        self._template += "".join(f"{_escaped(head)} %s\n" for head in heads)
        self._known, self._text = now, ""


def _lines(metric: Metric) -> list[str]:
    """What the library writes of a metric: two lines of title and one a sample."""

    class Only:
        def collect(self) -> Iterable[Metric]:
            return (metric,)

    return generate_latest(Only()).decode().removesuffix("\n").split("\n")


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _of_counter(child: Any) -> Iterable[float]:
    return (child._value._value,)


def _of_gauge(child: Any) -> Iterable[float]:
    return [sample.value for sample in child._child_samples()]


def _of_histogram(child: Any) -> Iterable[float]:
    counts = [*accumulate([bucket._value for bucket in child._buckets])]
    return [*counts, counts[-1], child._sum._value]


_READ: Final[dict[type[Family], Callable[[Any], Iterable[float]]]] = {
    Counter: _of_counter,
    Gauge: _of_gauge,
    Histogram: _of_histogram,
}
"""How what a child counts is read, in the order of its lines."""


class Exposition:
    """The families in the order of their making."""

    def __init__(self) -> None:
        self._families: list[_Family] = []

    def add(self, family: Family) -> None:
        self._families.append(_Family(family))

    def text(self) -> bytes:
        """Everything, as prometheus_client.generate_latest() would write it."""
        return "".join([family.text() for family in self._families]).encode()
