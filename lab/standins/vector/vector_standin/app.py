"""The running program: sources, transforms, sinks, and how they start and stop."""

import threading
import time
from pathlib import Path
from typing import Any

from vector_standin.api import answer
from vector_standin.exporter import PrometheusExporter, address, serve
from vector_standin.log import log
from vector_standin.mqtt import InternalMetrics, MqttSource
from vector_standin.schema import Refused
from vector_standin.sinks import Console, Sink, influx_logs
from vector_standin.tapping import Taps
from vector_standin.telemetry import Component, Telemetry
from vector_standin.topology import Topology

TICK_SECONDS = 0.1


class App:
    """Everything a configuration says. Building it raises Refused for whatever cannot be built."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._telemetry = Telemetry(config["expire_metrics_secs"])
        self._data_dir = Path(config["data_dir"])
        if not self._data_dir.is_dir():
            raise Refused([f'data_dir: "{self._data_dir}" does not exist'])
        self._topology = Topology(config, self._telemetry)
        self.sinks = {name: self._sink(name, sink) for name, sink in config["sinks"].items()}
        self._sources: list[MqttSource | InternalMetrics] = []
        for name, source in config["sources"].items():
            self._add_source(name, source)
        self._serving = True
        self._threads: list[threading.Thread] = []
        self._ticking = threading.Event()

    def _sink(self, name: str, config: dict[str, Any]) -> Sink:
        component = Component(self._telemetry, name, "sink", config["type"])
        sink: Sink
        if config["type"] == "influxdb_logs":
            sink = influx_logs(config, component, self._data_dir)
        elif config["type"] == "prometheus_exporter":
            sink = PrometheusExporter(config, component)
        else:
            sink = Console(config, component)
        for output in config["inputs"]:
            self._topology.connect(output, sink.buffer.put)
        return sink

    def _add_source(self, name: str, config: dict[str, Any]) -> None:
        component = Component(self._telemetry, name, "source", config["type"])
        if config["type"] == "mqtt":
            self._sources.append(MqttSource(config, component, self._topology))
        else:
            self._sources.append(InternalMetrics(config, component, self._topology))

    def _tick(self) -> None:
        while not self._ticking.wait(TICK_SECONDS):
            self._topology.tick()

    def start(self) -> None:
        """Sinks first, so that nothing is taken in before it can be kept."""
        for name, sink in self.sinks.items():
            self._threads.append(threading.Thread(target=sink.run, name=name, daemon=True))
        for thread in self._threads:
            thread.start()
        self._ticker = threading.Thread(target=self._tick, name="tick", daemon=True)
        self._ticker.start()
        self._source_threads = [threading.Thread(target=source.run, daemon=True) for source in self._sources]
        for thread in self._source_threads:
            thread.start()
        if self._config["api"]["enabled"]:
            taps = Taps(self._config, self._topology)
            serve(
                address(self._config["api"]["address"]),
                lambda path: answer(path, lambda: self._serving, taps, self._telemetry),
            )
        self._telemetry.add("started_total", {})
        log("INFO", "Vector has started. (This is the lab's stand-in.)")

    def stop(self, limit_seconds: float) -> bool:
        """Sources stop, everything on its way is delivered; False when the limit came first.

        What disk buffers hold then stays there for the next start.
        """
        end = time.monotonic() + limit_seconds
        self._serving = False
        finish = threading.Thread(target=self._finish, daemon=True)
        finish.start()
        finish.join(max(0.0, end - time.monotonic()))
        in_time = not finish.is_alive()
        for sink in self.sinks.values():
            sink.abandon()
        for thread in self._threads:
            thread.join(1)
        return in_time

    def _finish(self) -> None:
        for source in self._sources:
            source.stop()
        for thread in self._source_threads:
            thread.join()
        self._ticking.set()
        self._ticker.join()
        self._topology.tick(final=True)
        for sink in self.sinks.values():
            sink.finish()
        for thread in self._threads:
            thread.join()
