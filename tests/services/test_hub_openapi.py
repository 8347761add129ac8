"""Every operation of the OpenAPI with whatever its schema allows and forbids: never a 5xx, on both databases."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import uvicorn
from hub_servers import healthy, wait_until
from hub_support import ADMIN, RunningHub, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from hub.apk import CONTENT_TYPE
from lab.ports import free_port

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.services, pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")]
EXAMPLES = 12
STREAMS = {"/live/events"}
WAIT = "/provision/wait"


@pytest.fixture
def served(tmp_path: Path, database_url: str) -> Iterator[tuple[RunningHub, str]]:
    """A hub behind a real HTTP server in a thread."""
    port, started, stop = free_port(), threading.Event(), threading.Event()
    found: list[RunningHub] = []

    async def serve() -> None:
        options: dict[str, Any] = {"log_level": "WARNING", "dispatch_wait": 0, "run_timeout": 1.0}
        async with running(tmp_path, database_url, **options) as hub:
            server = uvicorn.Server(uvicorn.Config(hub.app, port=port, lifespan="off", log_config=None))
            task = asyncio.create_task(server.serve())
            found.append(hub)
            started.set()
            while not stop.is_set():
                await asyncio.sleep(0.05)
            server.should_exit = True
            await task

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(30)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until("it serves", lambda: healthy(f"{url}/healthz"))
        yield found[0], url
    finally:
        stop.set()
        thread.join(30)


@schemathesis.serializer(CONTENT_TYPE)
def apk_body(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


class Attack:
    """Requests of one operation, valid and invalid; `bad` are the answers that no client may get."""

    def __init__(self) -> None:
        self.tried = 0
        self.bad: list[str] = []

    def run(self, operation: Any) -> None:
        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(data=st.data())
        def attack(data: st.DataObject) -> None:
            mode = data.draw(st.sampled_from(list(schemathesis.GenerationMode)))
            try:
                strategy = operation.as_strategy(generation_mode=mode)
            except schemathesis.errors.SchemathesisError:
                return
            case = data.draw(strategy)
            try:
                answer = case.call(headers=ADMIN, timeout=0.5 if operation.path == WAIT else 20)
            except requests.exceptions.Timeout:
                assert operation.path == WAIT
                return
            self.tried += 1
            if answer.status_code >= 500:
                self.bad.append(f"{operation.method} {operation.path}: {answer.status_code} {answer.text[:200]}")

        with contextlib.suppress(Unsatisfiable):
            attack()


def test_no_operation_answers_5xx(served: tuple[RunningHub, str]) -> None:
    hub, url = served
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 20
    attack = Attack()
    for operation in operations:
        if operation.path not in STREAMS:
            attack.run(operation)
    assert attack.bad == []
    assert attack.tried > 150
    assert [line for line in hub.lines() if line["level"] == "error"] == []
