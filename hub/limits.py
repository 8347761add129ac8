"""Rate limits: a token bucket for each caller, in a bounded table; time is monotonic."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

CALLERS: Final = 20_000
KEY_CHARS: Final = 64
"""Of a caller's name; more than an address or the id of a token has."""


class RateLimit:
    """`per_minute` on average, bursts of as many at once."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = float(per_minute)
        self._rate = per_minute / 60
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> int:
        """0 when the caller may go on, else after how many seconds it may try again."""
        left, now = self._left(caller)
        wait = self._wait(left)
        self._buckets.pop(caller[:KEY_CHARS], None)
        self._buckets[caller[:KEY_CHARS]] = (left if wait else left - 1, now)
        if len(self._buckets) > CALLERS:
            self._buckets.popitem(last=False)
        return wait

    def wait(self, caller: str) -> int:
        """What `take` would say; nothing is taken."""
        return self._wait(self._left(caller)[0])

    def knows(self, caller: str) -> bool:
        """Whether something was taken for the caller lately."""
        return caller[:KEY_CHARS] in self._buckets

    def _left(self, caller: str) -> tuple[float, float]:
        """What is in the caller's bucket, and the time."""
        now = self._clock()
        left, then = self._buckets.get(caller[:KEY_CHARS], (self._size, now))
        return min(self._size, left + (now - then) * self._rate), now

    def _wait(self, left: float) -> int:
        return 0 if left >= 1 else math.ceil((1 - left) / self._rate)
