"""The edge cases of provisioning, each with its exact message, within ten seconds, the old configuration as it was."""

# ruff: noqa: F811 - fixtures are asked for by their names

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from services.agent_cases import NAME, OLD, is_new
from services.agent_fixtures import device, rewrite, running, server, start, tmp_path, untouched  # noqa: F401 - fixtures
from standins.thingsboard_standin import Device, ThingsboardStandin

from agent import config, provision, status
from agent.errors import AgentError, InputError, RefusedError


def edge_missing(directory: Path, server: ThingsboardStandin) -> str:
    (directory / "provision.json").unlink()
    return (
        f"{directory}/provision.json is missing, but provision.txt asks for provisioning. Put provision.json beside "
        "provision.txt, or remove provision.txt; the configuration was not touched"
    )


def edge_malformed(directory: Path, server: ThingsboardStandin) -> str:
    (directory / "provision.json").write_text('{"server": "mqtts://hub.local",\n}')
    return (
        "provision.json is not usable: line 2, column 1: Expecting property name enclosed in double quotes. "
        "Correct provision.json and start the agent again; the configuration was not touched"
    )


def edge_incomplete(directory: Path, server: ThingsboardStandin) -> str:
    (directory / "provision.json").write_text('{"server": "hub.local", "provisionDeviceKey": "k", "device_name": 7}')
    return (
        'provision.json: "provisionDeviceKey" is not a field here; did you mean "provision_device_key"?; '
        'provision.json: "server" must begin with mqtts:// (TLS) or mqtt://, as in "mqtts://hub.local:8883"; '
        'provision.json: "provision_device_key" is missing: give it, as in "7b0f1c2d3e4a5b6c7d8e"; '
        'provision.json: "provision_device_secret" is missing: give it, as in "9e8d7c6b5a4f3e2d1c0b"; '
        'provision.json: "device_name" must be text, it is a number: write it, as in "thermal-camera-XXXXXX". '
        "Correct provision.json and start the agent again; the configuration was not touched"
    )


def edge_read_only(directory: Path, server: ThingsboardStandin) -> str:
    path = directory / config.FILE
    path.chmod(0o444)
    return f"{path} is read-only (mode 0444). Allow its owner to write: chmod u+w {path}"


def edge_wrong_key(directory: Path, server: ThingsboardStandin) -> str:
    rewrite(directory, provision_device_secret="wrong")
    return (
        f"mqtt://127.0.0.1:{server.port} refused the provisioning key: Provision data was not found. Check "
        '"provision_device_key" and "provision_device_secret" in provision.json, and that provisioning is enabled on '
        "the server"
    )


def edge_wrong_key_and_no_device_server(directory: Path, server: ThingsboardStandin) -> str:
    rewrite(directory, device_server="mqtt://127.0.0.1:1")
    return edge_wrong_key(directory, server)


def edge_name_exists(directory: Path, server: ThingsboardStandin) -> str:
    server.devices["annealer-eye"] = Device("annealer-eye", "ACCESS_TOKEN", "another's")
    rewrite(directory, device_name="annealer-eye")
    return (
        f"mqtt://127.0.0.1:{server.port} would not make the device annealer-eye: Failed to provision device. The "
        "name annealer-eye is probably taken by another device: delete that one on the server, or set another "
        '"device_name" in provision.json'
    )


def edge_not_accepted(directory: Path, server: ThingsboardStandin) -> str:
    server.hook = lambda moment: server.devices.clear() if moment == "answered" else None
    return (
        f"mqtt://127.0.0.1:{server.port}: the server refused the login (Not authorized): {NAME} was registered, but "
        'its credentials are not accepted. Check that "device_server" in provision.json is the broker that devices '
        "work with, and that the device is active there; the next start tries the same credentials again"
    )


EDGES = {
    edge_missing: (3, InputError),
    edge_malformed: (3, InputError),
    edge_incomplete: (3, InputError),
    edge_read_only: (7, AgentError),
    edge_wrong_key: (4, RefusedError),
    edge_wrong_key_and_no_device_server: (4, RefusedError),
    edge_name_exists: (4, RefusedError),
    edge_not_accepted: (4, RefusedError),
}


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.__name__.removeprefix("edge_"))
def test_each_edge_case_has_its_message_and_changes_nothing(
    device: Path, server: ThingsboardStandin, edge: Any
) -> None:
    message = edge(device, server)
    slept: list[float] = []
    begun = time.monotonic()
    with pytest.raises(AgentError) as caught:
        start(device, provision.Pace(sleep=slept.append))
    assert sum(slept) + (time.monotonic() - begun) < 10
    assert str(caught.value) == message
    assert not re.search(r"[.!?] ?[.!?]", message)
    last = json.loads(caught.value.__notes__[0].splitlines()[-1])
    assert (last["event"], last["level"]) == ("provisioning failed", "error")
    assert last["attempt"]
    assert (last["message"], last["advice"]) == (caught.value.message, caught.value.advice)
    code, kind = EDGES[edge]
    assert caught.value.exit_code == code
    assert isinstance(caught.value, kind)
    assert untouched(device)
    stored = json.loads((device / status.FILE).read_text())
    assert stored["phase"] == "failed"
    assert stored["error"]["message"] + ". " + stored["error"]["advice"] == message


def test_device_made_but_configuration_not_updated_is_finished_by_the_next_start(
    device: Path, server: ThingsboardStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise InputError(["no room"], "make some")

    with monkeypatch.context() as broken:
        broken.setattr(config, "install", fail)
        with pytest.raises(AgentError):
            start(device)
    assert (device / config.FILE).read_bytes() == OLD
    made = dict(server.devices)
    start(device)
    assert server.devices == made
    assert is_new((device / config.FILE).read_bytes(), server)


def test_a_marker_that_is_a_link_to_nothing_asks_for_provisioning_as_any_other(
    device: Path, server: ThingsboardStandin
) -> None:
    """It is there: its presence asks, its content does not matter."""
    marker = device / status.MARKER
    marker.unlink()
    marker.symlink_to(device / "nowhere")
    assert status.describe(device, running=False)["phase"] == "pending"
    start(device)
    assert is_new((device / config.FILE).read_bytes(), server)
    assert not marker.is_symlink()
    assert (device / status.PROCESSED).is_symlink()
    assert status.describe(device, running=False)["phase"] == "completed"


@pytest.mark.parametrize("edge", [edge_wrong_key, edge_wrong_key_and_no_device_server, edge_incomplete])
def test_only_network_failures_are_tried_again(device: Path, server: ThingsboardStandin, edge: Any) -> None:
    edge(device, server)
    slept: list[float] = []
    with pytest.raises(AgentError):
        start(device, provision.Pace(sleep=slept.append))
    assert slept == []
    assert len(server.requests) <= 1
