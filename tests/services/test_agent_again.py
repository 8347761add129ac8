"""Provisioned again, at the same server or after another one: the device of before is taken up, never a second made."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.agent_cases import NAME, SERIAL, ask
from services.agent_fixtures import device, running, server, start, tmp_path
from standins.thingsboard_standin import ThingsboardStandin

from agent import config, journal
from agent.errors import AgentError

__all__ = ["device", "running", "server", "tmp_path"]


@pytest.fixture
def other() -> Iterator[ThingsboardStandin]:
    with ThingsboardStandin({"key": "secret"}) as running:
        yield running


def token_in(directory: Path) -> str:
    return str(json.loads((directory / config.FILE).read_bytes())["mqtt"]["username"])


def test_back_at_a_server_after_another_one_it_is_the_device_of_before(
    device: Path, server: ThingsboardStandin, other: ThingsboardStandin
) -> None:
    start(device)
    token = token_in(device)
    ask(device, other)
    start(device)
    assert token_in(device) == other.devices[NAME].value != token
    ask(device, server)
    events = [line["event"] for line in start(device)]
    assert "adopted" in events
    assert "answer" not in events, "the server was asked for a device"
    assert {name: made.value for name, made in server.devices.items()} == {NAME: token}
    assert list(other.devices) == [NAME]
    assert token_in(device) == token
    assert (device / journal.DEVICES).stat().st_mode & 0o777 == 0o600
    assert not (device / journal.FILE).exists()


def test_back_at_a_server_whose_device_was_never_finished(
    device: Path, server: ThingsboardStandin, other: ThingsboardStandin
) -> None:
    server.hook = lambda moment: "cut" if moment == "device-connect" else None
    with pytest.raises(AgentError):
        start(device)
    server.hook = lambda moment: None
    token = server.devices[NAME].value
    ask(device, other)
    start(device)
    ask(device, server)
    start(device)
    assert {name: made.value for name, made in server.devices.items()} == {NAME: token}
    assert token_in(device) == token


def test_asked_again_at_the_same_server_nothing_is_made_and_nothing_changed(
    device: Path, server: ThingsboardStandin
) -> None:
    start(device)
    before = (device / config.FILE).read_bytes(), sorted((device / config.BACKUPS).iterdir())
    ask(device, server)
    start(device)
    assert ((device / config.FILE).read_bytes(), sorted((device / config.BACKUPS).iterdir())) == before
    assert list(server.devices) == [NAME]


def test_a_device_that_was_ended_comes_back_with_its_name_and_another_token(
    device: Path, server: ThingsboardStandin
) -> None:
    start(device)
    token = token_in(device)
    server.devices.clear()
    ask(device, server)
    start(device)
    assert list(server.devices) == [NAME]
    assert token_in(device) == server.devices[NAME].value != token


def test_a_device_server_that_cannot_be_reached_does_not_know_the_device_no_less(
    device: Path, server: ThingsboardStandin
) -> None:
    start(device)
    token = token_in(device)
    ask(device, server)
    server.hook = lambda moment: "cut" if moment == "device-connect" else None
    with pytest.raises(AgentError):
        start(device)
    server.hook = lambda moment: None
    start(device)
    assert {name: made.value for name, made in server.devices.items()} == {NAME: token}


def test_a_copy_of_the_card_in_other_hardware_is_another_device(device: Path, server: ThingsboardStandin) -> None:
    start(device)
    ask(device, server)
    start(device, serial="00000000d4e5f6")
    assert sorted(server.devices) == [NAME, "thermal-camera-d4e5f6"]


def test_hardware_without_a_number_keeps_the_one_that_was_made_up(
    device: Path, server: ThingsboardStandin, other: ThingsboardStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.identity.serial_number", lambda: None)
    start(device, serial="")
    (name,) = server.devices
    for where in (server, other):
        ask(device, where)
        start(device, serial="")
        assert list(where.devices) == [name]


def test_the_newest_ten_are_remembered(device: Path, server: ThingsboardStandin) -> None:
    for number in range(12):
        ask(device, server, device_name=f"camera-{number}")
        start(device)
    assert [one.name for one in journal.remembered(device)] == [f"camera-{number}" for number in range(11, 1, -1)]
    assert len(server.devices) == 12


@pytest.mark.parametrize("damaged", [b"", b"{", b'{"devices": 1}', b'{"devices": [1, {"format": 1}, {"format": 2}]}'])
def test_a_damaged_memory_is_as_none(device: Path, server: ThingsboardStandin, damaged: bytes) -> None:
    (device / journal.DEVICES).write_bytes(damaged)
    start(device)
    assert [one.name for one in journal.remembered(device)] == [NAME]
    assert [one.serial for one in journal.remembered(device)] == [SERIAL]
