"""Histograms as Vector keeps them of itself: buckets at the powers of two from 2^-12 to 2^12, and one beyond."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil, log2

LEAST, MOST = -12, 12
EDGES = tuple(2.0**n for n in range(LEAST, MOST + 1))


@dataclass(slots=True)
class Histogram:
    """How many values there were by bucket, and their sum. Not thread-safe."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(EDGES) + 1))
    sum: float = 0.0

    def record(self, value: float, times: int = 1) -> None:
        place = ceil(log2(max(value, EDGES[0]))) - LEAST
        self.counts[min(place, len(EDGES))] += times
        self.sum += value * times

    def copy(self) -> "Histogram":
        return Histogram(list(self.counts), self.sum)

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Each upper edge as text, and how many values are not above it."""
        count = 0
        for edge, own in zip((*map(repr, EDGES), "+Inf"), self.counts, strict=True):
            count += own
            yield edge.removesuffix(".0"), count
