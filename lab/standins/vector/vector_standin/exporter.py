"""`prometheus_exporter`: what it was sent, as a page to scrape."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from vector_standin.buffers import MemoryBuffer
from vector_standin.event import Event, Metric
from vector_standin.sinks import MOST, SinkBase
from vector_standin.telemetry import Component

Family = CounterMetricFamily | GaugeMetricFamily
Key = tuple[str, str, tuple[tuple[str, str], ...]]


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
        self._values: dict[Key, tuple[float, float]] = {}
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
                make = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
                family = families.setdefault((kind, name), make(name, name))
            suffix = "_total" if kind == "counter" and name.endswith("_total") else ""
            family.add_sample(name.removesuffix("_total") + suffix, dict(tags), value)
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
                    old = 0.0 if event.absolute else self._values.get(key, (0.0, 0.0))[0]
                    self._values[key] = (old + event.value, now)
            oldest = now - self._flush_period
            self._values = {key: held for key, held in self._values.items() if held[1] >= oldest}


def _page(registry: CollectorRegistry, path: str) -> tuple[int, str, bytes]:
    if path != "/metrics":
        return 404, "text/plain", b""
    return 200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry)


def serve(place: tuple[str, int], page: Any) -> ThreadingHTTPServer:
    """A server of GET and HEAD in a thread of its own; `page(path)` gives status, content type and body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content_type, body = page(self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the name http.server looks for

        def log_message(self, *_: object) -> None:
            """No line a request."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    server = Server(place, Handler)
    threading.Thread(target=server.serve_forever, name=f"http {place[1]}", daemon=True).start()
    return server
