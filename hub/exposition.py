"""The text of /metrics, in milliseconds however many series there are.

prometheus-client makes the text, but makes all of it anew each time. Here a family's text is the library's, cut at the
values: only what a child (one set of label values) counts is read again, and only a child that changed is written anew.
The attributes that begin with an underscore are the library's own (0.26); a test compares every byte with its text.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.utils import floatToGoString

Family = Counter | Gauge | Histogram


class _Child:
    """The lines of one set of label values: their beginnings stay, their values change."""

    def __init__(self, child: Any, heads: Sequence[str]) -> None:
        self._child = child
        self._heads = heads
        self._values: list[float] = []
        self._text = ""

    def text(self) -> str:
        values = _values(self._child)
        if values != self._values:
            lines = [f"{head} {_text(value)}\n" for head, value in zip(self._heads, values, strict=True)]
            self._values, self._text = values, "".join(lines)
        return self._text


class _Family:
    def __init__(self, family: Family) -> None:
        self._family: Any = family
        self._title = ""
        self._known: list[Any] = []
        self._children: list[_Child] = []

    def text(self) -> str:
        children = list(self._family._metrics.values()) if self._family._labelnames else [self._family]
        if children != self._known or not self._title:
            self._learn(children)
        return self._title + "".join([child.text() for child in self._children])

    def _learn(self, children: list[Any]) -> None:
        """Cut the library's text: two lines of title, then as many lines a child as it has values."""
        lines = generate_latest(self._family).decode().splitlines()
        self._title = "\n".join(lines[:2]) + "\n"
        heads = iter([line.rpartition(" ")[0] for line in lines[2:]])
        self._children = [_Child(child, [next(heads) for _ in _values(child)]) for child in children]
        self._known = children


_text: Callable[[float], str] = floatToGoString


def _values(child: Any) -> list[float]:
    """What a child counts, in the order of its lines."""
    if isinstance(child, Histogram):
        counts = [*accumulate([bucket._value for bucket in child._buckets])]
        return [*counts, counts[-1], child._sum._value]
    return [sample.value for sample in child._child_samples()]


class Exposition:
    """The families in the order of their making."""

    def __init__(self) -> None:
        self._families: list[_Family] = []

    def add(self, family: Family) -> None:
        self._families.append(_Family(family))

    def text(self) -> bytes:
        """Everything, as prometheus_client.generate_latest() would write it."""
        return "".join([family.text() for family in self._families]).encode()
