"""How the stand-in of Vector sends: what it retries, what it drops, when it gives up waiting."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from vector_standin.delivery import Delivery
from vector_standin.telemetry import Component, Telemetry


@dataclass
class Database:
    """Answers with the statuses it is given, then with 204; keeps the bodies."""

    statuses: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    port: int = 0


@pytest.fixture
def database() -> Iterator[Database]:
    found = Database()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            found.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            found.paths.append(self.path)
            self.send_response(found.statuses.pop(0) if found.statuses else 204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(found.statuses.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def delivery(port: int, stop: threading.Event | None = None, **changes: Any) -> tuple[Delivery, Component]:
    request = {
        "timeout_secs": 2,
        "retry_attempts": 10,
        "retry_initial_backoff_secs": 0.01,
        "retry_max_duration_secs": 0.02,
        "retry_jitter_mode": "None",
    }
    component = Component(Telemetry(), "series", "sink", "influxdb_logs")
    url = f"http://127.0.0.1:{port}/write?db=sensors"
    return Delivery(url, {**request, **changes}, component, stop or threading.Event()), component


def count(component: Component, name: str) -> float:
    return sum(metric.value for metric in component.telemetry.metrics() if metric.name == name)


def test_what_is_taken_is_sent_once(database: Database) -> None:
    it, component = delivery(database.port)
    assert it.send(b"line") is True
    assert (database.bodies, database.paths) == ([b"line"], ["/write?db=sensors"])
    assert count(component, "http_client_requests_sent_total") == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_status_that_may_pass_is_retried(database: Database, status: int) -> None:
    database.statuses = [status, status]
    it, _ = delivery(database.port)
    assert it.send(b"line") is True
    assert database.bodies == [b"line"] * 3


@pytest.mark.parametrize("status", [400, 401, 404, 501])
def test_a_status_that_will_not_pass_drops_the_batch(database: Database, status: int) -> None:
    database.statuses = [status]
    it, _ = delivery(database.port)
    assert it.send(b"line") is False
    assert database.bodies == [b"line"]
    assert it.send(b"next") is True


def test_retries_end_when_they_are_used_up(database: Database) -> None:
    database.statuses = [503] * 9
    it, _ = delivery(database.port, retry_attempts=3)
    assert it.send(b"line") is False
    assert len(database.bodies) == 4


def test_nobody_there_is_retried_until_it_is_stopped() -> None:
    stop = threading.Event()
    it, component = delivery(1, stop, retry_attempts=10**9)
    threading.Timer(0.2, stop.set).start()
    assert it.send(b"line") is None
    assert count(component, "http_client_errors_total") > 1


def test_the_health_check_names_what_is_wrong(database: Database) -> None:
    it, _ = delivery(database.port)
    database.statuses = [200, 204, 500]
    url = f"http://127.0.0.1:{database.port}/ping"
    assert [it.ping(url) for _ in range(3)] == [None, None, "Unexpected status: 500"]
