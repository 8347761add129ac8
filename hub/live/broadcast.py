"""What happens, to every page that looks: a bounded memory to resume from, a bounded queue for each page."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

REMEMBERED: Final = 1000
REMEMBERED_CHARS: Final = 4_000_000
"""Pieces of output are up to 32,768 characters long, and up to six times that as JSON."""
QUEUED: Final = 200


@dataclass(frozen=True, slots=True)
class Event:
    id: int
    kind: str
    data: str
    """JSON"""


RESET: Final = "reset"


@dataclass(eq=False, slots=True)
class Page:
    """A browser that listens."""

    queue: "asyncio.Queue[Event]" = field(default_factory=lambda: asyncio.Queue(QUEUED))


class Broadcast:
    """Ids count from a start that differs each time the hub starts, so that no old id is taken for a new one."""

    def __init__(self, start: int) -> None:
        self._next = start
        self._memory: deque[Event] = deque()
        self._chars = 0
        self._pages: set[Page] = set()

    @property
    def pages(self) -> int:
        return len(self._pages)

    @property
    def last_id(self) -> int:
        """The id of the newest event."""
        return self._next - 1

    @property
    def deepest(self) -> int:
        """Events queued for the slowest page."""
        return max((page.queue.qsize() for page in self._pages), default=0)

    def publish(self, kind: str, data: Mapping[str, Any]) -> None:
        """Tell every page; never waits. A page that does not keep up is told to load itself anew."""
        event = Event(self._next, kind, orjson.dumps(data, default=str).decode())
        self._next += 1
        self._remember(event)
        for page in self._pages:
            if page.queue.full():
                _reset(page, event.id)
            else:
                page.queue.put_nowait(event)

    def join(self, last_id: int | None) -> Page:
        """A page that resumes after `last_id` gets what it missed, or a reset when that is not remembered."""
        page = Page()
        if last_id is not None:
            missed = [event for event in self._memory if event.id > last_id]
            oldest = self._memory[0].id if self._memory else self._next
            if not oldest - 1 <= last_id < self._next or len(missed) >= QUEUED:
                page.queue.put_nowait(Event(self._next - 1, RESET, "{}"))
            else:
                for event in missed:
                    page.queue.put_nowait(event)
        self._pages.add(page)
        return page

    def _remember(self, event: Event) -> None:
        self._memory.append(event)
        self._chars += len(event.data)
        while len(self._memory) > REMEMBERED or self._chars > REMEMBERED_CHARS:
            self._chars -= len(self._memory.popleft().data)

    def leave(self, page: Page) -> None:
        self._pages.discard(page)


def _reset(page: Page, event_id: int) -> None:
    while not page.queue.empty():
        page.queue.get_nowait()
    page.queue.put_nowait(Event(event_id, RESET, "{}"))
