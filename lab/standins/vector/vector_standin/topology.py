"""Who passes events on to whom. A transform runs in the thread that brings it events; only sinks hold events back."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from vector_standin.event import Event, Outputs
from vector_standin.telemetry import Component, Telemetry
from vector_standin.transforms import Transform, build

Consumer = Callable[[Sequence[Event]], None]
Delivery = tuple[Consumer, Sequence[Event]]


def deliver(deliveries: Sequence[Delivery]) -> None:
    """Give everybody what is theirs; blocks while a consumer is full."""
    for consumer, events in deliveries:
        consumer(events)


class _Node:
    def __init__(self, component: Component, transform: Transform) -> None:
        self.component, self.transform = component, transform
        self.lock = threading.Lock()


class Topology:
    """The transforms of a configuration, wired; sinks (or a test's collectors) are put in as consumers of outputs."""

    def __init__(self, config: dict[str, Any], telemetry: Telemetry) -> None:
        self._nodes: dict[str, _Node] = {}
        self._fed: dict[str, list[str]] = {}
        self._consumers: dict[str, list[Consumer]] = {}
        for name, transform in config["transforms"].items():
            component = Component(telemetry, name, "transform", transform["type"])
            self._nodes[name] = _Node(component, build(transform, component))
            for source in transform["inputs"]:
                self._fed.setdefault(source, []).append(name)
        self._order = _upstream_first(config["transforms"])

    def connect(self, output: str, consumer: Consumer) -> None:
        """Give all events of an output ("name", or "name.port") to a consumer, too."""
        self._consumers[output] = [*self._consumers.get(output, ()), consumer]

    def disconnect(self, output: str, consumer: Consumer) -> None:
        """Give it to the consumer no longer."""
        self._consumers[output] = [other for other in self._consumers[output] if other is not consumer]

    def _run(self, name: str, events: Sequence[Event]) -> list[Delivery]:
        node = self._nodes[name]
        began = time.monotonic()
        node.component.received(len(events))
        with node.lock:
            outputs = node.transform.run(events)
        node.component.passed(time.monotonic() - began, sum(map(len, outputs.by_port.values())))
        return self._passed_on(node, outputs)

    def _passed_on(self, node: _Node, outputs: Outputs) -> list[Delivery]:
        deliveries = []
        for port, events in outputs.by_port.items():
            node.component.sent(len(events), port)
            deliveries += self.transformed(f"{node.component.id}.{port}" if port else node.component.id, events)
        return deliveries

    def transformed(self, output: str, events: Sequence[Event]) -> list[Delivery]:
        """Take an output's events through all transforms that are fed by it; who is to get what in the end."""
        direct = [(consumer, events) for consumer in self._consumers.get(output, ())]
        return direct + [d for name in self._fed.get(output, ()) for d in self._run(name, events)]

    def emit(self, output: str, events: Sequence[Event]) -> None:
        """Take an output's events all the way; returns when every consumer has taken what it is to get."""
        deliver(self.transformed(output, events))

    def insert(self, name: str, events: Sequence[Event]) -> None:
        """Give events to one transform, as a unit test does."""
        deliver(self._run(name, events))

    def tick(self, *, final: bool = False) -> None:
        """Let the transforms do what time alone brings about; `final` when no more events will come from sources."""
        for name in self._order:
            node = self._nodes[name]
            with node.lock:
                outputs = node.transform.tick(final=final)
            deliver(self._passed_on(node, outputs))


def _upstream_first(transforms: dict[str, Any]) -> list[str]:
    """The transforms in an order in which each comes after those that feed it."""
    order: list[str] = []
    waiting = {name: {i.partition(".")[0] for i in t["inputs"]} & set(transforms) for name, t in transforms.items()}
    while waiting:
        ready = [name for name, feeds in waiting.items() if feeds <= set(order)]
        order += ready
        waiting = {name: feeds for name, feeds in waiting.items() if name not in ready}
    return order
