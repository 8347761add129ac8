"""The sinks: each has a buffer, and a thread that empties it."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from vector_standin.buffers import Buffer, MemoryBuffer
from vector_standin.buffers import build as build_buffer
from vector_standin.delivery import Delivery
from vector_standin.event import Event, Log
from vector_standin.influx import line
from vector_standin.telemetry import Component

MOST = 1000


class Sink(Protocol):
    """Its buffer takes events from now on; `run` ends when the buffer is closed and empty, or at once on `abandon`."""

    buffer: Buffer

    def run(self) -> None: ...

    def finish(self) -> None:
        """No more events will come: empty the buffer and end."""

    def abandon(self) -> None:
        """End now; what a disk buffer holds stays there."""

    def health(self) -> str | None:
        """What is wrong with the place it sends to, or None."""


class SinkBase:
    def __init__(self, component: Component, buffer: Buffer) -> None:
        self.component, self.buffer = component, buffer
        self._finishing = threading.Event()
        self._abandoned = threading.Event()

    def finish(self) -> None:
        self._finishing.set()

    def abandon(self) -> None:
        self._abandoned.set()
        self.buffer.close()

    def health(self) -> str | None:
        return None

    def _batches(self, most: int, timeout: float = 0.1) -> Iterator[list[Event]]:
        """Lists of events until there are none and none will come; an empty list now and then."""
        while not self._abandoned.is_set():
            finishing = self._finishing.is_set()
            events = self.buffer.take(most, timeout)
            if events or not finishing:
                yield events
            else:
                return


class InfluxLogs(SinkBase):
    """`influxdb_logs`: one batch at a time, retried until it is taken or refused; a refused one is dropped."""

    def __init__(self, config: dict[str, Any], component: Component, buffer: Buffer) -> None:
        super().__init__(component, buffer)
        self._config = config
        self._tags = frozenset(config["tags"])
        endpoint = config["endpoint"].rstrip("/")
        self._ping = f"{endpoint}/ping"
        query = urlencode({"db": config["database"], "precision": "ns"})
        self._delivery = Delivery(f"{endpoint}/write?{query}", config["request"], component, self._abandoned)

    def health(self) -> str | None:
        return self._delivery.ping(self._ping)

    def run(self) -> None:
        batch, limits = _Batch(), self._config["batch"]
        for events in self._batches(MOST):
            for event in events:
                batch.add(self._encode(event))
                if batch.is_full(limits):
                    self._send(batch)
                    batch = _Batch()
            due = batch.taken and time.monotonic() - batch.started >= limits["timeout_secs"]
            if due or (batch.taken and self._finishing.is_set()):
                self._send(batch)
                batch = _Batch()
        if batch.taken and not self._abandoned.is_set():
            self._send(batch)

    def _encode(self, event: Event) -> str | None:
        self.component.received(1)
        except_fields = self._config["encoding"]["except_fields"]
        text = line(event, self._config["measurement"], self._tags, except_fields) if isinstance(event, Log) else None
        if text is None:
            self.component.error("encoder_failed", "processing")
            self.component.discarded(1, intentional=False)
        return text

    def _send(self, batch: "_Batch") -> None:
        delivered = self._delivery.send("".join(batch.lines).encode()) if batch.lines else True
        if delivered is None:
            return
        if delivered:
            self.component.sent(len(batch.lines))
        else:
            self.component.error("request_failed", "sending")
            self.component.discarded(len(batch.lines), intentional=False)
        self.buffer.acknowledge(batch.taken)


class _Batch:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.bytes = self.taken = 0
        self.started = 0.0

    def add(self, text: str | None) -> None:
        self.started = self.started or time.monotonic()
        self.taken += 1
        if text is not None:
            self.lines.append(text)
            self.bytes += len(text)

    def is_full(self, limits: dict[str, Any]) -> bool:
        return self.bytes >= limits["max_bytes"] or len(self.lines) >= (limits["max_events"] or sys.maxsize)


class Console(SinkBase):
    """`console`: one JSON object a line."""

    def __init__(self, config: dict[str, Any], component: Component) -> None:
        super().__init__(component, MemoryBuffer(component, 500, block=True))
        self._stream = sys.stdout if config["target"] == "stdout" else sys.stderr

    def run(self) -> None:
        for events in self._batches(MOST):
            for event in events:
                self._stream.write(json.dumps(event.shown(), ensure_ascii=False, sort_keys=True) + "\n")
            if events:
                self._stream.flush()
                self.component.received(len(events))
                self.component.sent(len(events))
                self.buffer.acknowledge(len(events))


def influx_logs(config: dict[str, Any], component: Component, data_dir: Path) -> InfluxLogs:
    return InfluxLogs(config, component, build_buffer(config["buffer"], component, data_dir))
