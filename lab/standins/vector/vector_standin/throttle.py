"""`throttle`: lets so many events of a key through in a time."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from vector_standin.event import Event, Log, Outputs, template
from vector_standin.telemetry import Component
from vector_standin.timeless import Timeless


class Throttle(Timeless):
    """A bucket a key that holds `threshold` events and fills up within `window_secs`."""

    def __init__(
        self, config: dict[str, Any], component: Component, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._component, self._clock = component, clock
        self._key, self._size = config["key_field"], config["threshold"]
        self._rate = config["threshold"] / config["window_secs"]
        self._buckets: dict[str | None, tuple[float, float]] = {}

    def run(self, events: Sequence[Event]) -> Outputs:
        outputs = Outputs()
        now = self._clock()
        for event in events:
            key = template(self._key, event.fields) if self._key and isinstance(event, Log) else None
            level, since = self._buckets.get(key, (float(self._size), now))
            level = min(self._size, level + (now - since) * self._rate)
            if level >= 1:
                outputs.add(None, event)
                level -= 1
            else:
                self._component.discarded(1, intentional=True)
            self._buckets[key] = (level, now)
        full = [key for key, (level, at) in self._buckets.items() if level + (now - at) * self._rate >= self._size]
        for key in full:
            del self._buckets[key]
        return outputs
