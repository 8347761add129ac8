"""A hundred agents at once, and the broker restarted in the middle of it: all provisioned, each one device."""

# ruff: noqa: F811 - fixtures are asked for by their names

import json
import threading
from pathlib import Path

from services.agent_cases import prepare
from services.agent_fixtures import running, server, start, tmp_path  # noqa: F401 - fixtures
from standins.thingsboard_standin import ThingsboardStandin

from agent import config, provision
from agent.errors import AgentError

COUNT = 100


def test_a_hundred_at_once_with_restarts_of_the_broker_become_a_hundred_devices(
    tmp_path: Path, server: ThingsboardStandin
) -> None:
    moments = {"committed": 0, "device-connect": 0}

    def restart_now_and_then(now: str) -> str | None:
        if now not in moments:
            return None
        moments[now] += 1
        return "restart" if moments[now] in (25, 75) else None

    server.hook = restart_now_and_then
    failures: list[str] = []

    def one(number: int) -> None:
        directory = prepare(tmp_path / str(number), server)
        try:
            start(directory, provision.Pace(patience=(0.1,), step=20), f"{number:012x}")
        except AgentError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert moments["committed"] >= 75
    assert sorted(server.devices) == [f"thermal-camera-{n:06x}" for n in range(COUNT)]
    for number in range(COUNT):
        stored = json.loads((tmp_path / str(number) / config.FILE).read_text())
        assert stored["mqtt"]["username"] == server.devices[stored["device_name"]].value
