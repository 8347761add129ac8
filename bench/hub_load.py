"""Load for HTTP servers: many connections that stay open, each with one request at a time; little work of its own.

A client library costs more than the servers measured here; what is left to do is parsed by httptools.
"""

import asyncio
import itertools
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httptools


def request(method: str, path: str, headers: dict[str, str], body: Any = None) -> bytes:
    """A request as bytes."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode() + content


@dataclass(slots=True)
class Answers:
    """Seconds that each answer took, and how many were not 200."""

    seconds: list[float] = field(default_factory=list)
    refused: int = 0


class Connection(asyncio.Protocol):
    """Sends what it is given and hears the answers, one at a time."""

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._answered: asyncio.Future[int] | None = None
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(self._parser.get_status_code())
        self._parser = httptools.HttpResponseParser(self)

    @property
    def lost(self) -> bool:
        return bool(self._transport.is_closing())

    def connection_lost(self, error: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error or ConnectionError("the server hung up"))

    async def ask(self, content: bytes) -> int:
        """Send a request; the status of its answer. Raises ConnectionError."""
        if self.lost:
            raise ConnectionError("the server hung up")
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(content)
        return await self._answered

    def close(self) -> None:
        self._transport.close()


async def connect(port: int, count: int) -> list[Connection]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(count)]


class Crowd:
    """Clients with a connection each, opened anew when the server closed it; each has one request at a time."""

    def __init__(self, port: int, connections: list[Connection]) -> None:
        self._port = port
        self._connections = connections
        self._free = [asyncio.Lock() for _ in connections]
        self.turns = itertools.cycle(range(len(connections)))

    async def ask(self, number: int, content: bytes, answers: Answers) -> None:
        """One client's request; the time that it takes is neither that of connecting nor of waiting for its turn."""
        async with self._free[number]:
            if self._connections[number].lost:
                (self._connections[number],) = await connect(self._port, 1)
            await _timed(self._connections[number], content, answers)

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


async def _timed(connection: Connection, content: bytes, answers: Answers) -> None:
    began = time.perf_counter()
    status = await connection.ask(content)
    answers.seconds.append(time.perf_counter() - began)
    answers.refused += status != 200


async def as_fast_as_possible(port: int, requests: Sequence[bytes], at_once: int) -> tuple[float, Answers]:
    """Requests a second over `at_once` connections that share the work."""
    connections, answers = await connect(port, at_once), Answers()
    left: Iterator[bytes] = iter(requests)

    async def work(connection: Connection) -> None:
        for content in left:
            await _timed(connection, content, answers)

    began = time.perf_counter()
    await asyncio.gather(*(work(connection) for connection in connections))
    rate = len(requests) / (time.perf_counter() - began)
    for connection in connections:
        connection.close()
    return rate, answers


async def evenly(crowd: Crowd, requests: Sequence[tuple[int, bytes]], rate: float) -> Answers:
    """Clients' requests, `rate` a second, evenly: what a request takes, not how long a queue is."""
    answers = Answers()
    began = time.perf_counter()

    async def work(place: int, client: int, content: bytes) -> None:
        await asyncio.sleep(began + place / rate - time.perf_counter())
        await crowd.ask(client, content, answers)

    await asyncio.gather(*(work(place, *request) for place, request in enumerate(requests)))
    return answers


def p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[18]
