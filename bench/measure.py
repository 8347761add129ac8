"""Time commands fairly: peers take turns, so a busy moment of the machine meets all of them; the median counts."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of each round of one contender."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> str:
        return f"{min(self.seconds):.2f} to {max(self.seconds):.2f} s"


def in_turns(contenders: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, Timing]:
    """Run every contender `rounds` times, one after the other in each round."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            begin = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - begin)
    return {name: Timing(name, tuple(seconds)) for name, seconds in taken.items()}
