"""The agent at work with a real broker: readings, the state and its last will, provisioning first, stopping well."""

import itertools
import json
import signal
import socket
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.agent_broker import NAME, Broker, Listener, configured, program, until
from services.agent_cases import in_memory, prepare
from standins.thingsboard_standin import ThingsboardStandin

from agent import config

TELEMETRY, STATE = f"camera/{NAME}/telemetry", f"camera/{NAME}/state"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    yield from in_memory()


def test_readings_arrive_at_their_interval_with_the_time_they_were_taken(tmp_path: Path, broker: Broker) -> None:
    with Listener(broker.port, TELEMETRY) as listener, program(configured(tmp_path, broker.port)):
        until(lambda: len(listener.of(TELEMETRY)) >= 15, 60)
    readings = [json.loads(payload) for payload in listener.of(TELEMETRY)]
    assert set(readings[0]) == {"temp_max", "temp_min", "temp_mean", "ts"}
    assert abs(readings[-1]["ts"] / 1000 - time.time()) < 10
    gaps = [b["ts"] - a["ts"] for a, b in itertools.pairwise(readings)]
    assert all(gap > 0 for gap in gaps)
    assert 150 < statistics.median(gaps) < 400


def test_the_state_is_retained_and_says_offline_when_it_is_stopped(tmp_path: Path, broker: Broker) -> None:
    with Listener(broker.port, STATE) as listener:
        with program(configured(tmp_path, broker.port)) as process:
            until(lambda: "online" in "".join(listener.of(STATE)), 60)
            with Listener(broker.port, STATE) as late:
                until(lambda: late.heard, 30)
            assert late.heard[0][2], "a late listener hears the retained state"
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        until(lambda: "offline" in listener.of(STATE)[-1], 30)
        assert abs(json.loads(listener.of(STATE)[-1])["ts"] / 1000 - time.time()) < 30


def test_the_broker_says_offline_for_an_agent_that_was_killed(tmp_path: Path, broker: Broker) -> None:
    with Listener(broker.port, STATE) as listener, program(configured(tmp_path, broker.port)) as process:
        until(lambda: listener.of(STATE) and json.loads(listener.of(STATE)[-1])["state"] == "online", 60)
        process.kill()
        until(lambda: json.loads(listener.of(STATE)[-1])["state"] == "offline", 30)
        assert "ts" not in json.loads(listener.of(STATE)[-1]), "when the connection was lost is not known beforehand"


def test_it_is_ready_and_feeds_the_watchdog(tmp_path: Path, broker: Broker) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        address = f"\0agent-test-{time.monotonic_ns()}"
        systemd.bind(address)
        systemd.settimeout(60)
        with program(configured(tmp_path, broker.port), notify="@" + address[1:]) as process:
            assert [systemd.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
            process.terminate()
            heard = [b""]
            while heard[-1] != b"STOPPING=1":
                heard.append(systemd.recv(100))


def test_a_malformed_provision_json_is_told_and_the_existing_configuration_used(tmp_path: Path, broker: Broker) -> None:
    configured(tmp_path, broker.port)
    before = (tmp_path / config.FILE).read_bytes()
    (tmp_path / "provision.txt").touch()
    (tmp_path / "provision.json").write_text("{")
    with Listener(broker.port, TELEMETRY) as listener, program(tmp_path) as process:
        until(lambda: listener.of(TELEMETRY), 60)
        process.terminate()
        assert process.stderr is not None
        events = [json.loads(line) for line in process.stderr]
    told = {line["event"]: line for line in events}
    assert "provision.json is not usable: line 1, column 2" in told["provisioning failed"]["message"]
    assert "going on with the existing configuration" in told
    assert (tmp_path / config.FILE).read_bytes() == before
    assert (tmp_path / "provision.txt").exists()


def test_without_any_configuration_it_ends_with_what_is_missing(tmp_path: Path) -> None:
    with program(tmp_path) as process:
        assert process.wait(60) == 3
        assert process.stderr is not None
        told = json.loads(process.stderr.readlines()[-1])
    assert (told["event"], told["kind"], told["exit_code"]) == ("ended", "input", 3)
    assert told["message"] == f"{tmp_path}/thermal_config.json is missing"
    assert told["advice"].startswith("Provision the device")


def test_from_the_marker_to_readings_on_thingsboard_unchanged(tmp_path: Path) -> None:
    """The whole way on ThingsBoard's own topics, within 30 seconds."""
    with ThingsboardStandin({"key": "secret"}) as server:
        directory = prepare(tmp_path / "device", server)
        request = json.loads((directory / "provision.json").read_text())
        (directory / "provision.json").write_text(json.dumps(request | {"platform": "thingsboard"}))
        source = {"telemetry": {"interval_seconds": 0.2, "source": {"simulator": True}}}
        (directory / config.FILE).write_text(json.dumps(source))
        begun = time.monotonic()
        with program(directory):
            until(lambda: any(topic.endswith("telemetry") for _, topic, _ in server.published), 30)
            assert time.monotonic() - begun < 30
            (name,) = server.devices
            until(lambda: server.send(name, "v1/devices/me/rpc/request/7", b'{"method": "ping", "params": {}}') or any(
                topic == "v1/devices/me/rpc/response/7" for _, topic, _ in server.published), 60)  # fmt: skip
        heard = {topic: json.loads(payload) for _, topic, payload in server.published}
        assert all("temp_max" in sample.values and "ts" not in sample.values for sample in server.telemetry)
        assert heard["v1/devices/me/attributes"]["state"] == "offline"
        assert heard["v1/devices/me/rpc/response/7"]["outcome"] == "ok"
        assert server.unsupported == []
        assert {name for name, _, _ in server.published} == set(server.devices)


def test_a_board_whose_clock_was_never_set_sends_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from agent import clock

    monkeypatch.setattr(time, "time", lambda: 100.0)
    assert clock.epoch_milliseconds() is None
    assert clock.timestamp() == "1970-01-01T00:01:40.000Z"
