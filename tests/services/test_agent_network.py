"""The network or the broker fails at any step, answers are lost, forged or late: one device, never another's word."""

# ruff: noqa: F811 - fixtures are asked for by their names

import json
import random
import socket
from pathlib import Path

import pytest
from services.agent_broker import Broker
from services.agent_cases import NAME, is_new
from services.agent_fixtures import answer, device, rewrite, running, server, start, tmp_path, untouched  # noqa: F401 - fixtures
from standins import mqtt_wire_standin as wire
from standins.thingsboard_standin import MOMENTS, RESPONSE, ThingsboardStandin

from agent import config, provision, status
from agent.errors import RefusedError, UnreachableError


def test_it_tries_again_after_1_2_and_4_seconds_and_at_most_a_tenth_more(device: Path) -> None:
    slept: list[float] = []
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    rewrite(device, server=f"mqtt://127.0.0.1:{port}")
    pace = provision.Pace(sleep=slept.append, chance=random.Random(1).random)
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{port}: no connection .Connection refused"):
        start(device, pace)
    assert [int(s) for s in slept] == [1, 2, 4]
    assert all(base <= s <= base * 1.1 for base, s in zip((1, 2, 4), slept, strict=True))
    assert len(set(slept)) == 3
    told = status.describe(device, running=False)
    assert told["retries"] == 3
    assert "Connection refused" in told["last_failure"]
    assert untouched(device)


@pytest.mark.parametrize("action", ["cut", "silent", "restart"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_the_connection_or_the_broker_fails_at_any_step(
    device: Path, server: ThingsboardStandin, moment: str, action: str
) -> None:
    """Once, at each packet of the handshake: one device in the end, and it is the configured one."""
    pending = [moment]
    server.hook = lambda now: action if now in pending and not pending.clear() else None
    start(device, provision.Pace(retries=(0.06,) * 3, patience=(0.01,) * 3, step=0.4))
    assert not pending
    assert list(server.devices) == [NAME]
    assert is_new((device / config.FILE).read_bytes(), server)


@pytest.mark.parametrize("moment", ["committed", "answer"])
def test_a_device_whose_answer_was_lost_is_adopted_not_made_again(
    device: Path, server: ThingsboardStandin, moment: str
) -> None:
    server.hook = lambda now: "cut" if now == moment else None
    lines = start(device)
    assert "adopted" in [line["event"] for line in lines]
    assert len(server.requests) == 1
    assert is_new((device / config.FILE).read_bytes(), server)


def test_a_lost_answer_and_then_no_network_is_resolved_by_the_next_start(
    device: Path, server: ThingsboardStandin
) -> None:
    server.hook = lambda now: "cut" if now in ("committed", "device-connect") else None
    with pytest.raises(UnreachableError):
        start(device)
    assert list(server.devices) == [NAME]
    assert untouched(device)
    server.hook = lambda now: None
    requests = len(server.requests)
    lines = start(device)
    assert len(server.requests) == requests
    assert "an earlier attempt is continued" in [line["event"] for line in lines]
    assert is_new((device / config.FILE).read_bytes(), server)


def test_a_broker_that_learns_of_the_device_later_is_waited_for(device: Path, server: ThingsboardStandin) -> None:
    late = [5, 5]
    server.hook = lambda now: wire.connack(late.pop()) if now == "device-connack" and late else None
    start(device)
    assert list(server.devices) == [NAME]


def test_unreachable_device_server_never_leads_to_a_second_name(device: Path, server: ThingsboardStandin) -> None:
    """FAILURE because of our own lost answer, and nobody to ask: not knowing is not a no."""
    server.hook = lambda now: "cut" if now in ("committed", "device-connect") else None
    for _ in range(2):
        with pytest.raises(UnreachableError):
            start(device)
    assert {r["deviceName"] for r in server.requests} == {NAME}


STRANGER = {"credentialsType": "ACCESS_TOKEN", "credentialsValue": "stranger", "status": "SUCCESS"}
HOSTILE = [
    answer(STRANGER),
    answer(STRANGER, retain=True),
    answer({"status": "SUCCESS"}),
    answer({"status": "SUCCESS", "credentialsType": "ACCESS_TOKEN", "credentialsValue": None}),
    answer({"status": ["SUCCESS"]}),
    answer({"status": None}),
    answer([]),
    answer(None),
    answer({"status": "FAILURE", "errorMsg": "x\r\ny" * 5000}),
    answer({"status": "FAILURE"}),
    answer({"status": "NOT_FOUND", "errorMsg": 7}, retain=True),
    wire.publish(RESPONSE, b"", 0, 0),
    wire.publish(RESPONSE, b"x" * 65537, 0, 0),
    wire.publish(RESPONSE, b'{"status": "SUCCESS", "status": "FAILURE"}', 0, 0),
    wire.publish(RESPONSE, b'{"status": NaN}', 0, 0),
    wire.publish(RESPONSE, b"\0\xff", 0, 0),
    wire.publish(RESPONSE, b"[" * 60000, 0, 0),
    wire.publish("provision/response", json.dumps(STRANGER).encode(), 0, 0),
]


@pytest.mark.parametrize("moment", ["suback", "answer"])
@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_a_forged_or_stray_answer_before_ours_is_refused(
    device: Path, server: ThingsboardStandin, hostile: bytes, moment: str
) -> None:
    server.hook = lambda now: hostile if now == moment else None
    start(device)
    assert list(server.devices) == [NAME]
    assert is_new((device / config.FILE).read_bytes(), server)
    assert "stranger" not in (device / config.FILE).read_text()


def test_only_forged_answers_end_in_an_error(device: Path, server: ThingsboardStandin) -> None:
    server.hook = lambda now: answer(STRANGER) if now == "request" else "silent" if now == "committed" else None
    server.keys = {"key": "changed"}
    try:
        with pytest.raises(UnreachableError, match="no answer to the provisioning request"):
            start(device, provision.Pace(retries=(0.01,), patience=(), step=0.3))
    finally:
        server.keys = {"key": "secret"}
    assert untouched(device)


def test_a_broker_that_lets_anybody_in_is_not_taken_for_one_that_knows_the_device(device: Path, tmp_path: Path) -> None:
    """There nobody provisions, but the journaled credentials log in, as all others do."""
    with Broker(tmp_path) as open_to_all:
        rewrite(device, server=f"mqtt://127.0.0.1:{open_to_all.port}")
        for _ in range(2):
            with pytest.raises(UnreachableError, match="no answer to the provisioning request"):
                start(device, provision.Pace(retries=(0.01,), patience=(), step=0.5))
    assert untouched(device)


def test_duplicate_and_late_answers_harm_nothing(device: Path, server: ThingsboardStandin) -> None:
    def twice(now: str) -> bytes | None:
        if now != "answered" or not server.devices:
            return None
        value = server.devices[NAME].value
        return answer({"credentialsType": "ACCESS_TOKEN", "credentialsValue": value, "status": "SUCCESS"}) * 3

    server.hook = twice
    start(device)
    assert is_new((device / config.FILE).read_bytes(), server)


def test_a_busy_server_is_asked_again_and_never_taken_for_a_name_that_exists(
    device: Path, server: ThingsboardStandin
) -> None:
    """The hub says so when it limits requests or its database is away."""
    busy = [answer({"status": "FAILURE", "errorMsg": "Too many requests; try again in 1 s."})] * 2
    server.hook = lambda now: (busy.pop(), "silent") if now == "request" and busy else None
    lines = start(device)
    told = [line["error"] for line in lines if line["event"].startswith("network failure")]
    assert len(told) == 2
    assert all("cannot provision now: Too many requests; try again in 1 s" in line for line in told)
    assert list(server.devices) == [NAME]


def test_a_reason_that_the_server_gives_is_told_and_no_other_name_tried(
    device: Path, server: ThingsboardStandin
) -> None:
    reason = "Failed to provision device! deviceName is too long."
    server.hook = lambda now: (
        (answer({"status": "FAILURE", "errorMsg": reason}), "silent") if now == "request" else None
    )
    with pytest.raises(RefusedError, match=r"deviceName is too long\. Correct provision.json as the server says"):
        start(device)
    assert not server.devices
