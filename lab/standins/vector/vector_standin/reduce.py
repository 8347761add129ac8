"""`reduce`: merges the events of a group into one, until the group has been quiet, or open, for long enough."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from vector_standin.event import TIMESTAMP, Event, Log, Outputs
from vector_standin.schema import Refused
from vector_standin.telemetry import Component

Key = tuple[str, ...]
MERGERS: dict[str, Callable[[Any, Any], Any]] = {
    "discard": lambda first, _: first,
    "retain": lambda first, last: first if last is None else last,
    "sum": lambda a, b: a + b,
    "min": min,
    "max": max,
}
NUMERIC = frozenset({"sum", "min", "max"})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class _Group:
    def __init__(self, now: float) -> None:
        self.fields: dict[str, Any] = {}
        self.at: int | None = None
        self.created = self.last = now

    def add(self, event: Log, strategies: dict[str, str], now: float) -> None:
        for name, value in event.fields.items():
            strategy = strategies.get(name) or ("sum" if _is_number(value) else "discard")
            if strategy in NUMERIC and not _is_number(value):
                continue
            self.fields[name] = MERGERS[strategy](self.fields[name], value) if name in self.fields else value
        if event.at is not None and (self.at is None or strategies[TIMESTAMP] == "retain"):
            self.at = event.at
        self.last = now


class Reduce:
    """Groups are kept in memory alone: what is in them when the program is killed is lost, as it is with Vector."""

    def __init__(
        self, config: dict[str, Any], component: Component, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._strategies: dict[str, str] = config["merge_strategies"]
        if self._strategies.get(TIMESTAMP) not in {"discard", "retain"}:
            # By default Vector keeps the first and the last timestamp, in two fields.
            path = f"transforms.{component.id}.merge_strategies.timestamp"
            raise Refused([f"{path}: this stand-in implements only the strategies discard and retain"])
        self._group_by: list[str] = config["group_by"]
        self._expire = config["expire_after_ms"] / 1000
        self._period = config["end_every_period_ms"]
        self._flush_period = config["flush_period_ms"] / 1000
        self._component, self._clock = component, clock
        self._groups: dict[Key, _Group] = {}
        self._flushed = clock()

    def run(self, events: Sequence[Event]) -> Outputs:
        now = self._clock()
        for event in events:
            if isinstance(event, Log):
                key = tuple(f"{type(value).__name__}:{value}" for value in map(event.fields.get, self._group_by))
                group = self._groups.get(key) or self._groups.setdefault(key, _Group(now))
                group.add(event, self._strategies, now)
        return Outputs()

    def _is_over(self, group: _Group, now: float) -> bool:
        quiet = now - group.last >= self._expire
        return quiet or (self._period is not None and now - group.created >= self._period / 1000)

    def tick(self, *, final: bool) -> Outputs:
        now = self._clock()
        outputs = Outputs()
        if not final and now - self._flushed < self._flush_period:
            return outputs
        self._flushed = now
        for key, group in list(self._groups.items()):
            if final or self._is_over(group, now):
                del self._groups[key]
                outputs.add(None, Log(group.fields, group.at))
                self._component.passed(now - group.created, 1)
                if not final:
                    self._component.add("stale_events_flushed_total")
        return outputs
