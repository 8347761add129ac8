"""`prometheus_exporter`: what it was sent, as a page to scrape."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from vector_standin.buffers import MemoryBuffer
from vector_standin.event import Event, Metric
from vector_standin.histogram import Histogram
from vector_standin.sinks import MOST, SinkBase
from vector_standin.telemetry import Component

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
FAMILIES: dict[str, type[Family]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}
Key = tuple[str, str, tuple[tuple[str, str], ...]]
Answer = tuple[int, str, bytes | Generator[bytes, None, None]]
"""Status, content type, body; a body without end is given in parts."""


def address(text: str) -> tuple[str, int]:
    """("127.0.0.1", 9598) from "127.0.0.1:9598"."""
    host, _, port = text.rpartition(":")
    return host, int(port)


class PrometheusExporter(SinkBase, Collector):
    """Adds incremental values up; forgets a series that was not updated for the flush period."""

    def __init__(self, config: dict[str, Any], component: Component) -> None:
        super().__init__(component, MemoryBuffer(component, 500, block=True))
        self._flush_period = config["flush_period_secs"]
        self._lock = threading.Lock()
        self._values: dict[Key, tuple[float | Histogram, float]] = {}
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        self._server = serve(address(config["address"]), lambda path: _page(registry, path))

    def collect(self) -> Iterator[Family]:
        with self._lock:
            values = sorted(self._values.items())
        families: dict[tuple[str, str], Family] = {}
        for (kind, name, tags), (value, _) in values:
            family = families.get((kind, name))
            if family is None:
                family = families.setdefault((kind, name), FAMILIES[kind](name, name))
            for suffix, more, number in _samples(name, kind, value):
                family.add_sample(name.removesuffix("_total") + suffix, {**dict(tags), **more}, number)
        yield from families.values()

    def run(self) -> None:
        for events in self._batches(MOST):
            self._take(events)
            if events:
                self.component.received(len(events))
                self.component.sent(len(events))
                self.buffer.acknowledge(len(events))
        self._server.shutdown()

    def _take(self, events: list[Event]) -> None:
        now = time.monotonic()
        with self._lock:
            for event in events:
                if isinstance(event, Metric):
                    name = f"{event.namespace}_{event.name}" if event.namespace else event.name
                    key = (event.kind, name, event.tags)
                    self._values[key] = (event.histogram or self._added(key, event), now)
            oldest = now - self._flush_period
            self._values = {key: held for key, held in self._values.items() if held[1] >= oldest}

    def _added(self, key: Key, event: Metric) -> float:
        held = 0.0 if event.absolute else self._values.get(key, (0.0, 0.0))[0]
        return event.value + (held if isinstance(held, float | int) else 0.0)


def _samples(name: str, kind: str, value: float | Histogram) -> Iterator[tuple[str, dict[str, str], float]]:
    """What is written of one series: the end of its name, labels of its own, and its value."""
    if isinstance(value, Histogram):
        for edge, count in value.cumulative():
            yield "_bucket", {"le": edge}, count
        yield "_sum", {}, value.sum
        yield "_count", {}, sum(value.counts)
    else:
        yield "_total" if kind == "counter" and name.endswith("_total") else "", {}, value


def _page(registry: CollectorRegistry, path: str) -> Answer:
    if path.partition("?")[0] != "/metrics":
        return 404, "text/plain", b""
    return 200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry)


def serve(place: tuple[str, int], page: Callable[[str], Answer]) -> ThreadingHTTPServer:
    """A server of GET and HEAD in a thread of its own; `page` gives what is answered to a path with its query."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content_type, body = page(self.path)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            if isinstance(body, bytes):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self._write(body)

        def _write(self, body: bytes | Generator[bytes, None, None]) -> None:
            """Until the end of the body, or until nobody listens any more."""
            if isinstance(body, bytes):
                self.wfile.write(body)
                return
            with suppress(ConnectionError), closing(body):
                for part in body:
                    self.wfile.write(part)

        do_HEAD = do_GET  # noqa: N815 - the name http.server looks for

        def log_message(self, *_: object) -> None:
            """No line a request."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    server = Server(place, Handler)
    threading.Thread(target=server.serve_forever, name=f"http {place[1]}", daemon=True).start()
    return server
