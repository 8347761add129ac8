"""The file of provisioning events: whole lines, rotated from inside and outside, on a disk that may be full."""

import asyncio
import json
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_support import running
from hub_waits import wait

from hub.provision.eventlog import EventLog, Rotation

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]


@pytest.fixture
def event_log(tmp_path: Path) -> Iterator[tuple[EventLog, Path, list[int]]]:
    failed: list[int] = []
    log = EventLog(tmp_path / "deep" / "events.jsonl", failed.append)
    yield log, tmp_path / "deep" / "events.jsonl", failed
    log.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def written(path: Path, count: int) -> None:
    """Return when the file has so many lines."""
    await until(lambda: path.exists() and path.read_bytes().count(b"\n") == count)


@pytest.mark.parametrize("rotation", ["rename", "copytruncate"])
async def test_a_rotated_log_loses_no_line(event_log: tuple[EventLog, Path, list[int]], rotation: str) -> None:
    log, path, failed = event_log
    old = path.with_suffix(".1")
    for n in range(100):
        log.write("state_message", {"n": n})
        if n == 49:
            await written(path, 50)
            if rotation == "rename":
                path.rename(old)
            else:
                old.write_bytes(path.read_bytes())
                os.truncate(path, 0)
    await written(path, 50)
    lines = old.read_text().splitlines() + path.read_text().splitlines()
    assert [json.loads(line)["n"] for line in lines] == list(range(100))
    assert failed == []


async def test_a_full_disk_loses_whole_lines_and_counts_them(event_log: tuple[EventLog, Path, list[int]]) -> None:
    log, path, failed = event_log
    log.write("state_message", {"n": 0})
    await written(path, 1)
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        for n in (1, 2):
            log.write("state_message", {"n": n})
        await until(lambda: sum(failed) == 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.write("state_message", {"n": 3})
    await written(path, 2)
    assert [json.loads(line)["n"] for line in path.read_text().splitlines()] == [0, 3]
    assert sum(failed) == 2


async def test_a_log_that_cannot_be_written_never_breaks_a_wait(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    blocked = str(tmp_path / "file" / "events.jsonl")
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", provision_event_log=blocked) as hub:
        assert (await wait(hub, timeout=0.1))["status"] == "timeout"
        await hub.until(lambda: hub.metric("provision_event_log_failures_total") == 2)


async def test_a_blank_path_switches_the_log_off(tmp_path: Path) -> None:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", provision_event_log="") as hub:
        assert (await wait(hub, timeout=0.1))["status"] == "timeout"
        assert hub.metric("provision_event_log_failures_total") == 0
    assert not list(tmp_path.glob("*events*"))


def lines(*files: Path) -> list[int]:
    return [json.loads(line)["n"] for file in files for line in file.read_text().splitlines()]


@pytest.mark.parametrize(("kept", "left"), [(0, 1), (2, 3)])
async def test_a_full_log_is_rotated_and_takes_a_bounded_room(tmp_path: Path, kept: int, left: int) -> None:
    path, failed = tmp_path / "events.jsonl", list[int]()
    log = EventLog(path, failed.append, Rotation(1000, kept))
    for n in range(200):
        log.write("state_message", {"n": n})
    log.close()
    files = [path, *(tmp_path / f"events.jsonl.{n}" for n in range(1, kept + 1))]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert len(files) == left
    assert all(0 < file.stat().st_size <= 1000 for file in files)
    found = lines(*reversed(files))
    assert found == list(range(200 - len(found), 200)), "the newest, each once and in order"
    assert len(found) > 10 * kept, "no more than the oldest went"
    assert failed == []


async def test_a_log_that_is_rotated_by_others_only_grows(tmp_path: Path) -> None:
    path, failed = tmp_path / "events.jsonl", list[int]()
    log = EventLog(path, failed.append, Rotation(0, 2))
    for n in range(500):
        log.write("state_message", {"n": n})
    log.close()
    assert list(tmp_path.iterdir()) == [path]
    assert lines(path) == list(range(500))


async def test_a_log_that_cannot_be_rotated_is_no_larger_and_counts_what_it_loses(tmp_path: Path) -> None:
    path, failed = tmp_path / "events.jsonl", list[int]()
    (tmp_path / "events.jsonl.1").mkdir()
    (tmp_path / "events.jsonl.1" / "busy").touch()
    (tmp_path / "events.jsonl.2").mkdir()
    (tmp_path / "events.jsonl.2" / "busy").touch()
    log = EventLog(path, failed.append, Rotation(1000, 2))
    for n in range(100):
        log.write("state_message", {"n": n})
    log.close()
    kept = lines(path)
    assert kept == list(range(len(kept)))
    assert path.stat().st_size <= 1000
    assert len(kept) + sum(failed) == 100


async def test_the_size_is_a_setting(tmp_path: Path) -> None:
    given = {"provision_event_log_bytes": 300, "provision_event_log_kept": 1}
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", **given) as hub:
        for _ in range(4):
            await wait(hub, timeout=0.05)
        await hub.until((tmp_path / "events.jsonl.1").exists)
    assert {f.name for f in tmp_path.glob("events*")} == {"events.jsonl", "events.jsonl.1"}
