"""What the provisioning tests share: a server as ThingsBoard's, a device's folder, one start of the agent."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from services.agent_cases import OLD, SERIAL, in_memory, prepare
from standins import mqtt_wire_standin as wire
from standins.thingsboard_standin import RESPONSE, ThingsboardStandin

from agent import config, folder, provision
from agent.errors import AgentError
from agent.logs import open_log

FAST = provision.Pace(retries=(0.06,) * 3, patience=(0.01,) * 3, step=1)


@pytest.fixture(scope="module")
def running() -> Iterator[ThingsboardStandin]:
    with ThingsboardStandin({"key": "secret"}) as server:
        yield server


@pytest.fixture
def server(running: ThingsboardStandin) -> ThingsboardStandin:
    running.reset()
    running.hook = lambda moment: None
    return running


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    yield from in_memory()


@pytest.fixture
def device(tmp_path: Path, server: ThingsboardStandin) -> Path:
    return prepare(tmp_path / "device", server)


def start(directory: Path, pace: provision.Pace = FAST, serial: str = SERIAL) -> list[dict[str, Any]]:
    """Provision as at a start of the agent; the log lines."""
    stream = io.StringIO()
    with folder.held(directory):
        try:
            provision.provision(directory, open_log("json", stream=stream), pace, serial)
        except AgentError as error:
            error.add_note(stream.getvalue())
            raise
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def rewrite(directory: Path, **changes: object) -> None:
    path = directory / "provision.json"
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))


def untouched(directory: Path) -> bool:
    backups = directory / config.BACKUPS
    no_backup = not backups.exists() or not list(backups.iterdir())
    return (directory / config.FILE).read_bytes() == OLD and (directory / "provision.txt").exists() and no_backup


def answer(payload: object, *, retain: bool = False) -> bytes:
    return wire.publish(RESPONSE, json.dumps(payload).encode(), 0, 0, retain=retain)
