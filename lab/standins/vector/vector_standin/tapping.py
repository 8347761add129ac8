"""Looking on while events pass, for `vector tap`: the served side, which never holds an event back.

Vector's API speaks gRPC; the stand-in's commands and its API speak HTTP with each other, in lines of JSON.
"""

import json
import queue
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol

from vector_standin.config import outputs
from vector_standin.event import Event

Asked = dict[str, list[str]]
Consumer = Callable[[Sequence[Event]], None]


class Wiring(Protocol):
    """Who gives an output's events to whom: a running topology."""

    def connect(self, output: str, consumer: Consumer) -> None: ...

    def disconnect(self, output: str, consumer: Consumer) -> None: ...


class Taps:
    """Every output of a configuration by its name, and who may be asked for what goes into a component."""

    def __init__(self, config: dict[str, Any], topology: Wiring) -> None:
        self._topology = topology
        self._about = {
            output: {"component_id": name, "component_kind": kind, "component_type": part["type"]}
            for section, kind in (("sources", "source"), ("transforms", "transform"))
            for name, part in config[section].items()
            for output in (outputs(name, part) if kind == "transform" else [name])
        }
        self._inputs = {name: part["inputs"] for key in ("transforms", "sinks") for name, part in config[key].items()}
        self._sinks, self._sources = list(config["sinks"]), list(config["sources"])

    def lines(self, asked: Asked) -> Generator[bytes, None, None]:
        """What is said of patterns, then events as they pass, for ever; an empty line each interval.

        asked: `outputs` and `inputs` (patterns), `limit` events each `interval` (ms).
        """
        limit, interval = int(asked["limit"][0]), int(asked["interval"][0]) / 1000
        passing: queue.SimpleQueue[tuple[str, Event]] = queue.SimpleQueue()
        chosen, told = self._chosen(asked.get("outputs", []), asked.get("inputs", []))
        yield from (_line({"notification": text}) for text in told)
        consumers = {output: self._consumer(output, passing, limit) for output in chosen}
        for output, consumer in consumers.items():
            self._topology.connect(output, consumer)
        try:
            while True:
                yield from self._interval(passing, limit, time.monotonic() + interval)
        finally:
            for output, consumer in consumers.items():
                self._topology.disconnect(output, consumer)

    @staticmethod
    def _consumer(output: str, passing: "queue.SimpleQueue[tuple[str, Event]]", limit: int) -> Consumer:
        def consume(events: Sequence[Event]) -> None:
            if passing.qsize() < limit:
                for event in events[:limit]:
                    passing.put((output, event))

        return consume

    def _interval(self, passing: "queue.SimpleQueue[tuple[str, Event]]", limit: int, until: float) -> Iterator[bytes]:
        given = 0
        while (left := until - time.monotonic()) > 0:
            try:
                output, event = passing.get(timeout=left)
            except queue.Empty:
                break
            if given < limit:
                given += 1
                yield _line({**self._about[output], "event": event.shown()})
        yield b"\n"

    def _chosen(self, for_outputs: list[str], for_inputs: list[str]) -> tuple[set[str], list[str]]:
        """The outputs that patterns mean, and what Vector says of each pattern."""
        chosen, told = set(), []
        for pattern in for_outputs:
            found = {output for output in self._about if fnmatchcase(output, pattern)}
            chosen |= found
            told.append(_said(pattern, found))
            if wrong := [name for name in self._sinks if fnmatchcase(name, pattern)]:
                told.append(_warning("sink outputs", "Output", pattern, "sinks", wrong))
        for pattern in for_inputs:
            found = {output for name, own in self._inputs.items() if fnmatchcase(name, pattern) for output in own}
            chosen |= found
            told.append(_said(pattern, found))
            if wrong := [name for name in self._sources if fnmatchcase(name, pattern)]:
                told.append(_warning("source inputs", "Input", pattern, "sources", wrong))
        return chosen, told


def _said(pattern: str, found: set[str]) -> str:
    verdict = "successfully matched." if found else "failed to match: will retry on configuration reload."
    return f"[tap] Pattern '{pattern}' {verdict}"


def _warning(what: str, way: str, pattern: str, kind: str, names: list[str]) -> str:
    return f"[tap] Warning: {what} cannot be tapped. {way} pattern '{pattern}' matches {kind} {json.dumps(names)}"


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"
