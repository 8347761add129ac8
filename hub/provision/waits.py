"""Waits for a device: who waits for what, and what a state message does to them."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Method = Literal["ble", "softap"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A state message of a device."""

    device_id: str
    retained: bool
    at: float
    """time.monotonic()"""


@dataclass(eq=False, slots=True)
class Waiter:
    method: Method
    timeout: float
    require_fresh: bool
    device_id: str | None
    started: float
    answer: "asyncio.Future[Seen]" = field(repr=False)

    def takes(self, seen: Seen) -> bool:
        """A wait that wants it fresh takes no retained message: that one may be from yesterday."""
        return not (self.require_fresh and seen.retained)


class TooManyWaits(Exception):
    pass


class Stopping(Exception):
    """The hub stops: nobody may begin to wait."""


class Waits:
    """The waits in progress and the devices seen; everything on the event loop."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._of_device: dict[str | None, set[Waiter]] = {}
        self._count = 0
        self._seen: dict[str, Seen] = {}
        self._newest: Seen | None = None
        self._stopping = False

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Waiter]:
        return (waiter for waiters in self._of_device.values() for waiter in waiters)

    def known(self, device_id: str | None) -> Seen | None:
        """The device, or without an id the one that was seen last."""
        return self._seen.get(device_id) if device_id is not None else self._newest

    def remember(self, seen: Seen) -> None:
        """A retained message of a device that was seen is no news: it comes again with every connection."""
        if seen.retained and seen.device_id in self._seen:
            return
        self._seen[seen.device_id] = seen
        if self._newest is None or seen.at >= self._newest.at:
            self._newest = seen

    def forget_device(self, device_id: str) -> None:
        """The device was revoked: it satisfies no later wait from memory."""
        self._seen.pop(device_id, None)
        if self._newest is not None and self._newest.device_id == device_id:
            self._newest = max(self._seen.values(), key=lambda seen: seen.at, default=None)

    def begin(self, method: Method, timeout: float, require_fresh: bool, device_id: str | None) -> Waiter:
        """Raises TooManyWaits or Stopping."""
        if self._stopping:
            raise Stopping
        if self._count >= self._limit:
            raise TooManyWaits
        answer: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()
        waiter = Waiter(method, timeout, require_fresh, device_id, self._clock(), answer)
        self._of_device.setdefault(device_id, set()).add(waiter)
        self._count += 1
        return waiter

    def end(self, waiter: Waiter) -> None:
        """Forget a wait, however it ended; twice is fine."""
        waiters = self._of_device.get(waiter.device_id, set())
        if waiter in waiters:
            waiters.remove(waiter)
            self._count -= 1
            if not waiters:
                del self._of_device[waiter.device_id]

    def stop(self) -> None:
        """End all waits at once, without an answer: who waits is told that the hub stops, instead of being cut off."""
        self._stopping = True
        for waiter in list(self):
            waiter.answer.cancel()

    def notify(self, seen: Seen) -> int:
        """Answer the waits that this message satisfies; how many they are."""
        self.remember(seen)
        notified = 0
        for key in (seen.device_id, None):
            for waiter in list(self._of_device.get(key, ())):
                if waiter.takes(seen) and not waiter.answer.done():
                    waiter.answer.set_result(seen)
                    self.end(waiter)
                    notified += 1
        return notified


def about(waiter: Waiter) -> Mapping[str, Any]:
    """What the events say of a wait; `device_id` only when it was asked for."""
    fields: dict[str, Any] = {
        "method": waiter.method,
        "timeout": waiter.timeout,
        "require_fresh": waiter.require_fresh,
    }
    return {"device_id": waiter.device_id, **fields} if waiter.device_id is not None else fields
