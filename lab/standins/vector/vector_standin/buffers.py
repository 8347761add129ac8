"""What stands before a sink: a queue in memory or on disk, which blocks whoever puts when it is full, or drops."""

import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from vector_standin.disk import DiskQueue
from vector_standin.event import Event, Log
from vector_standin.telemetry import Component


class Buffer(Protocol):
    """Many threads put, one takes; what was taken is kept until it is acknowledged."""

    def put(self, events: Sequence[Event]) -> None: ...

    def take(self, most: int, timeout: float) -> list[Event]:
        """Up to `most` events, as soon as there is one; none when there is none for `timeout` seconds."""

    def acknowledge(self, count: int) -> None:
        """The `count` oldest events taken are done with."""

    def close(self) -> None:
        """Nobody puts any more, and whoever is blocked in it gives up."""


class _Base:
    def __init__(self, component: Component, *, block: bool) -> None:
        self._component, self._block = component, block
        self._changed = threading.Condition()
        self._closed = False

    def _dropped(self, count: int) -> None:
        """Vector counts what a full buffer drops as intended: it was told to."""
        self._component.add("buffer_discarded_events_total", count, intentional="true", **self._ids)
        self._component.discarded(count, intentional=True)

    @property
    def _ids(self) -> dict[str, str]:
        return {"buffer_id": self._component.id, "stage": "0"}

    def _tell(self, received: int, sent: int, events: int, size: int) -> None:
        if received:
            self._component.add("buffer_received_events_total", received, **self._ids)
        if sent:
            self._component.add("buffer_sent_events_total", sent, **self._ids)
        for name in ("buffer_events", "buffer_size_events"):
            self._component.set(name, events, **self._ids)
        for name in ("buffer_byte_size", "buffer_size_bytes"):
            self._component.set(name, size, **self._ids)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class MemoryBuffer(_Base):
    """A queue of at most `max_events`."""

    def __init__(self, component: Component, max_events: int, *, block: bool) -> None:
        super().__init__(component, block=block)
        self._max = max_events
        self._queue: deque[Event] = deque()
        self._taken = 0
        component.set("buffer_max_size_events", max_events, **self._ids)

    def put(self, events: Sequence[Event]) -> None:
        waiting = deque(events)
        with self._changed:
            while waiting:
                if len(self._queue) >= self._max and self._block and not self._closed:
                    self._changed.wait()
                    continue
                room = min(len(waiting), self._max - len(self._queue))
                if not room:
                    self._dropped(len(waiting))
                    return
                self._queue.extend(waiting.popleft() for _ in range(room))
                self._tell(room, 0, len(self._queue), 0)
                self._changed.notify_all()

    def take(self, most: int, timeout: float) -> list[Event]:
        with self._changed:
            self._changed.wait_for(lambda: len(self._queue) > self._taken or self._closed, timeout)
            events = [self._queue[i] for i in range(self._taken, min(len(self._queue), self._taken + most))]
            self._taken += len(events)
            return events

    def acknowledge(self, count: int) -> None:
        with self._changed:
            for _ in range(count):
                self._queue.popleft()
            self._taken -= count
            self._tell(0, count, len(self._queue), 0)
            self._changed.notify_all()


class DiskBuffer(_Base):
    """A queue in files, of at most `max_size` bytes, that outlives the program. For logs alone."""

    def __init__(self, component: Component, folder: Path, max_size: int, *, block: bool) -> None:
        super().__init__(component, block=block)
        self._max = max_size
        self._queue = DiskQueue(folder)
        component.set("buffer_max_size_bytes", max_size, **self._ids)
        self._tell(0, 0, self._queue.count, self._queue.size)
        self._stop = threading.Event()
        self._syncer = threading.Thread(target=self._sync, name=f"{component.id} fsync", daemon=True)
        self._syncer.start()

    def _sync(self) -> None:
        while not self._stop.wait(0.5):
            self._queue.sync()

    def put(self, events: Sequence[Event]) -> None:
        records = [event.dump().encode() for event in events if isinstance(event, Log)]
        while records:
            with self._changed:
                while self._queue.size + len(records[0]) > self._max and self._block and not self._closed:
                    self._changed.wait()
                room = self._max - self._queue.size
                fits = 0
                while fits < len(records) and room >= len(records[fits]):
                    room -= len(records[fits])
                    fits += 1
                if not fits:
                    self._dropped(1)
                    records = records[1:]
                    continue
                self._queue.append(records[:fits])
                records = records[fits:]
                self._tell(fits, 0, self._queue.count, self._queue.size)
                self._changed.notify_all()

    def take(self, most: int, timeout: float) -> list[Event]:
        with self._changed:
            self._changed.wait_for(lambda: self._queue.unread or self._closed, timeout)
            return [Log.parse(record) for record in self._queue.read(most)]

    def acknowledge(self, count: int) -> None:
        with self._changed:
            self._queue.acknowledge(count)
            self._tell(0, count, self._queue.count, self._queue.size)
            self._changed.notify_all()

    def close(self) -> None:
        super().close()
        self._stop.set()
        self._queue.sync()


def build(config: dict[str, Any], component: Component, data_dir: Path) -> Buffer:
    """The buffer of a checked sink configuration; a disk buffer lives in data_dir/buffer/v2/<sink>."""
    block = config["when_full"] == "block"
    if config["type"] == "memory":
        return MemoryBuffer(component, config["max_events"], block=block)
    return DiskBuffer(component, data_dir / "buffer/v2" / component.id, config["max_size"], block=block)
