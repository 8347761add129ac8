"""The transforms: each takes a batch of events and gives events by output."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from vector_standin.event import Event, Log, Metric, Outputs, template
from vector_standin.reduce import Reduce
from vector_standin.schema import Refused
from vector_standin.telemetry import Component
from vector_standin.throttle import Throttle
from vector_standin.timeless import Timeless
from vector_standin.vrl import Conditions, DoesNotCompile, Dropped, Program


class Transform(Protocol):
    """Not thread-safe: its node calls it under a lock."""

    def run(self, events: Sequence[Event]) -> Outputs: ...

    def tick(self, *, final: bool) -> Outputs:
        """What time alone brings about, called every now and then; `final` when no more events will come."""


class Remap(Timeless):
    """`remap`: an event becomes what the program makes of it; a dropped one leaves as it came, with the reason."""

    def __init__(self, config: dict[str, Any], component: Component) -> None:
        self._config, self._component = config, component
        self._program = Program(self._source())

    def _source(self) -> str:
        given = [key for key in ("source", "file", "files") if self._config[key] is not None]
        if len(given) != 1:
            raise DoesNotCompile("must provide exactly one of `source` or `file` or `files` configuration")
        if given == ["source"]:
            return str(self._config["source"])
        paths = self._config["files"] or [self._config["file"]]
        try:
            return "".join(Path(path).read_text() + "\n" for path in paths)
        except OSError as error:
            raise DoesNotCompile(f"Could not open vrl program {error.filename}: {error.strerror}") from None

    def run(self, events: Sequence[Event]) -> Outputs:
        outputs = Outputs()
        for event, result in zip(events, self._program.run(events), strict=True):
            if isinstance(result, Log):
                outputs.add(None, result)
                continue
            if not self._config[f"drop_on_{result.reason}"]:
                outputs.add(None, event)
            elif self._config["reroute_dropped"]:
                outputs.add("dropped", self._annotated(event, result))
            else:
                self._component.discarded(1, intentional=result.reason == "abort")
            if result.reason == "error" and not self._config["reroute_dropped"]:
                self._component.error("conversion_failed", "processing")
        return outputs

    def _annotated(self, event: Event, dropped: Dropped) -> Event:
        if not isinstance(event, Log):
            return event
        about = {
            "reason": dropped.reason,
            "message": dropped.message,
            "component_id": self._component.id,
            "component_type": "remap",
            "component_kind": "transform",
        }
        known = event.fields.get("metadata")
        metadata = {**(known if isinstance(known, dict) else {}), "dropped": about}
        return Log({**event.fields, "metadata": metadata}, event.at)


class Route(Timeless):
    """`route`: an event goes to each output whose condition it fulfils, or else to `_unmatched`."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._unmatched = config["reroute_unmatched"]
        self._conditions = Conditions(config["route"])

    def run(self, events: Sequence[Event]) -> Outputs:
        outputs = Outputs()
        verdicts = self._conditions.check(events)
        for i, event in enumerate(events):
            routes = [name for name, why_not in verdicts.items() if why_not[i] is None]
            for route in routes:
                outputs.add(route, event)
            if not routes and self._unmatched:
                outputs.add("_unmatched", event)
        return outputs


class LogToMetric(Timeless):
    """`log_to_metric`: counters from logs; an event without the field or a tag's field gives none of that."""

    def __init__(self, config: dict[str, Any], component: Component) -> None:
        self._metrics, self._component = config["metrics"], component

    def run(self, events: Sequence[Event]) -> Outputs:
        outputs = Outputs()
        for event in events:
            for wanted in self._metrics:
                metric = self._metric(wanted, event.fields) if isinstance(event, Log) else None
                if metric:
                    outputs.add(None, metric)
                else:
                    self._component.error("field_not_found", "processing")
                    self._component.discarded(1, intentional=False)
        return outputs

    @staticmethod
    def _metric(wanted: dict[str, Any], fields: dict[str, Any]) -> Metric | None:
        value = fields.get(wanted["field"])
        by_value = wanted["increment_by_value"]
        if value is None or (by_value and (isinstance(value, bool) or not isinstance(value, int | float))):
            return None
        tags = {key: template(pattern, fields) for key, pattern in wanted["tags"].items()}
        present = tuple(sorted((key, text) for key, text in tags.items() if text is not None))
        name = template(wanted["name"] or wanted["field"], fields)
        return Metric(name or wanted["field"], value if by_value else 1, present, wanted["namespace"])


def build(config: dict[str, Any], component: Component) -> Transform:
    """The transform of a checked configuration; Refused names it when its VRL does not compile."""
    try:
        match config["type"]:
            case "remap":
                return Remap(config, component)
            case "route":
                return Route(config)
            case "reduce":
                return Reduce(config, component)
            case "log_to_metric":
                return LogToMetric(config, component)
            case _:
                return Throttle(config, component)
    except DoesNotCompile as error:
        told = json.dumps(str(error), ensure_ascii=False)[1:-1].replace("\\n", "; ").replace('\\"', '"')
        raise Refused([f'Transform "{component.id}": {told}']) from None
