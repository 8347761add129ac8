"""Rate limits: a token bucket for each caller, in a bounded table; time is monotonic."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

CALLERS: Final = 20_000


class RateLimit:
    """`per_minute` on average, bursts of as many at once."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = float(per_minute)
        self._rate = per_minute / 60
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> int:
        """0 when the caller may go on, else after how many seconds it may try again."""
        now = self._clock()
        left, then = self._buckets.pop(caller, (self._size, now))
        left = min(self._size, left + (now - then) * self._rate)
        wait = 0 if left >= 1 else math.ceil((1 - left) / self._rate)
        self._buckets[caller] = (left if wait else left - 1, now)
        if len(self._buckets) > CALLERS:
            self._buckets.popitem(last=False)
        return wait
