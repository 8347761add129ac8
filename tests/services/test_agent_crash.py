"""The agent is killed at every system call, and loses power after every write: never corrupt, always one device.

The same harness is shown to find planted bugs.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from services import agent_power_cut, agent_tracer
from services.agent_cases import NAME, ask, faults_after_restart, faults_of, in_memory, is_new, prepare, start
from standins.thingsboard_standin import Device, ThingsboardStandin

from agent import config, durable, journal, provision, status
from agent.errors import AgentError


@pytest.fixture(scope="module")
def server() -> Iterator[ThingsboardStandin]:
    with ThingsboardStandin({"key": "secret"}) as running:
        yield running


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    yield from in_memory()


def kill(
    directory: Path, server: ThingsboardStandin, child: Callable[[Path], None], point: int
) -> tuple[bool, list[str]]:
    """Kill at one call; whether the run came to its end before it, and the faults right after and after a restart."""
    server.reset()
    prepare(directory, server)
    done = agent_tracer.run(lambda: child(directory), kill_at=point)
    assert done.exit_code in (None, 0)
    return done.exit_code == 0, faults_of(directory, server) or faults_after_restart(directory, server)


def kill_everywhere(
    tmp_path: Path, server: ThingsboardStandin, child: Callable[[Path], None]
) -> tuple[int, dict[int, list[str]]]:
    """Kill at the first, second, ... call until a run comes to its end; the number of points, the faults at each."""
    faults: dict[int, list[str]] = {}
    for point in range(1, 5000):
        ended, found = kill(tmp_path / f"kill-{point}", server, child, point)
        if found:
            faults[point] = found
        if ended:
            return point - 1, faults
    raise AssertionError("the run never came to its end")


def test_killed_at_every_system_call_it_is_never_corrupt_and_makes_one_device(
    tmp_path: Path, server: ThingsboardStandin
) -> None:
    points, faults = kill_everywhere(tmp_path, server, start)
    print(f"\nkilled at {points} points, {len(faults)} with faults")
    assert points > 150
    assert faults == {}


def between_servers(
    tmp_path: Path, server: ThingsboardStandin, other: ThingsboardStandin, way: str, child: Callable[[Path], None]
) -> Iterator[list[str]]:
    """Kill at each call on the `way` there (the device at `server` unfinished) or back; the faults once back."""
    server.reset()
    base = prepare(tmp_path / "base", server)
    server.hook = lambda moment: "cut" if way == "there" and moment == "device-connect" else None
    with contextlib.suppress(AgentError):
        start(base)
    server.hook = lambda moment: None
    ask(base, other)
    if way == "back":
        start(base)
        ask(base, server)
    first, second = dict(server.devices), dict(other.devices)
    for point in range(1, 5000):
        server.devices, other.devices = dict(first), dict(second)
        directory = Path(shutil.copytree(base, tmp_path / f"kill-{point}"))
        done = agent_tracer.run(lambda directory=directory: child(directory), kill_at=point)  # type: ignore[misc]
        assert done.exit_code in (None, 0)
        start(directory)
        if way == "there":
            ask(directory, server)
            start(directory)
        token = json.loads((directory / config.FILE).read_bytes())["mqtt"]["username"]
        yield [
            told
            for wrong, told in (
                (server.devices != first, f"devices on the first server: {list(server.devices)}"),
                (list(other.devices) != [NAME], f"devices on the second server: {list(other.devices)}"),
                (token != first[NAME].value, "the configuration is not the first server's"),
                ((directory / journal.FILE).exists(), "the journal is still there"),
            )
            if wrong
        ]
        if done.exit_code == 0:
            return


@pytest.mark.parametrize("way", ["there", "back"])
def test_killed_on_the_way_to_another_server_and_back_it_has_one_device_at_each(
    tmp_path: Path, server: ThingsboardStandin, way: str
) -> None:
    with ThingsboardStandin({"key": "secret"}) as other:
        faults = list(between_servers(tmp_path, server, other, way, start))
    print(f"\nkilled at {len(faults) - 1} points on the way {way}")
    assert len(faults) > 100
    assert [found for found in faults if found] == []


def test_the_kill_harness_finds_a_memory_that_comes_too_late(tmp_path: Path, server: ThingsboardStandin) -> None:
    def forgetful(directory: Path) -> None:
        with mock.patch.object(journal, "remember"):
            start(directory)

    with ThingsboardStandin({"key": "secret"}) as other:
        every = between_servers(tmp_path, server, other, "there", forgetful)
        assert any("devices on the first server" in told for found in every for told in found)


def write_in_place(directory: Path, stored: object, values: dict[str, object]) -> None:
    (directory / config.FILE).write_bytes(config.to_bytes(values))


def marker_first(self: provision.Provisioning, *arguments: object) -> None:
    durable.rename(self.directory / status.MARKER, self.directory / status.PROCESSED)
    with mock.patch.object(durable, "rename"):
        FINISH(self, *arguments)  # type: ignore[arg-type]


FINISH = provision.Provisioning.finish
PLANTED = {
    "the configuration is written in place": (config, "install", write_in_place, "corrupt configuration"),
    "the marker is renamed first": (provision.Provisioning, "finish", marker_first, "not the new one"),
    "no journal": (journal, "write", lambda *_: None, "devices on the server"),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_the_kill_harness_finds_a_planted_bug(tmp_path: Path, server: ThingsboardStandin, bug: str) -> None:
    place, name, planted, fault = PLANTED[bug]

    def buggy(directory: Path) -> None:
        with mock.patch.object(place, name, planted):
            start(directory)

    directory = prepare(tmp_path / "whole", server)
    server.reset()
    points = agent_tracer.run(lambda: buggy(directory)).calls
    # From the end, where the planted bugs do their harm: the first fault is enough.
    every = (kill(tmp_path / f"kill-{point}", server, buggy, point)[1] for point in range(points, 0, -1))
    assert any(fault in told for found in every for told in found)


def power_cuts(
    tmp_path: Path, server: ThingsboardStandin, child: Callable[[Path], None], until: str | None = None
) -> tuple[int, list[tuple[int, list[str]]]]:
    """Cut the power after every effect on the disk, in every way; the number of states, and the faults found.

    `until`: stop at the first fault that has these words.
    """
    server.reset()
    directory = prepare(tmp_path / "recorded", server)
    before = {str(p): p.read_bytes() for p in directory.iterdir()}
    done = agent_tracer.run(lambda: child(directory), noting=directory)
    assert done.exit_code == 0
    made = dict(server.devices)
    asked = next(n for n, e in enumerate(done.effects) if e.kind == "send" and b"provisionDeviceKey" in e.data)
    faults, count = [], 0
    for count, (moment, tree) in enumerate(agent_power_cut.trees(before, done.effects), 1):
        server.devices = dict(made) if moment > asked else {}
        found = faults_in_tree(tree, directory, tmp_path / f"cut-{count}", server)
        if found:
            faults.append((moment, found))
            if until and any(until in told for told in found):
                break
    return count, faults


def faults_in_tree(
    tree: agent_power_cut.Tree, recorded: Path, directory: Path, server: ThingsboardStandin
) -> list[str]:
    (directory / config.BACKUPS).mkdir(parents=True)
    for path, data in tree.items():
        (directory / Path(path).relative_to(recorded)).write_bytes(data)
    found = faults_of(directory, server)
    return found or faults_after_restart(directory, server)


def test_without_power_after_any_write_it_is_never_corrupt_and_makes_one_device(
    tmp_path: Path, server: ThingsboardStandin
) -> None:
    states, faults = power_cuts(tmp_path, server, start)
    print(f"\n{states} states of the disk after a power cut, {len(faults)} with faults")
    assert states > 30
    assert faults == []


@pytest.mark.parametrize(
    ("place", "name", "fault"),
    [
        pytest.param(os, "fsync", "corrupt configuration", id="renamed before the file is synced"),
        pytest.param(durable, "sync_folder", "devices on the server", id="folders are never synced"),
    ],
)
def test_the_power_cut_model_finds_a_planted_bug(
    tmp_path: Path, server: ThingsboardStandin, place: object, name: str, fault: str
) -> None:
    real = os.fsync

    def folders_only(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").is_dir():
            real(handle)

    def buggy(directory: Path) -> None:
        with mock.patch.object(place, name, folders_only if name == "fsync" else lambda *_: None):
            start(directory)

    _, faults = power_cuts(tmp_path, server, buggy, until=fault)
    assert any(fault in told for _, found in faults for told in found), faults


def test_a_device_of_somebody_else_with_the_same_name_is_left_alone(tmp_path: Path, server: ThingsboardStandin) -> None:
    server.reset()
    server.devices[NAME] = Device(NAME, "ACCESS_TOKEN", "somebody else's")
    directory = prepare(tmp_path / "taken", server)
    start(directory)
    assert server.devices[NAME].value == "somebody else's"
    assert len(server.devices) == 2
    assert is_new((directory / config.FILE).read_bytes(), server)
