"""The hub's benchmark ends by itself, says what failed, and leaves no process behind."""

import sys
import time
from pathlib import Path

import pytest

from bench import hub
from bench.table import FAILED, Row

GOOD = """
import json
print(json.dumps([{"what": "x", "value": "1", "peer": "-", "ratio": "-", "goal": "-", "met": None}]))
"""
STUBBORN = """
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"])
child.send_signal(signal.SIGSTOP)
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""
"""Hears no SIGTERM, and its child is held still."""
GROUP_OF_ONE_LEFT = """
import pathlib, subprocess, sys
pathlib.Path(sys.argv[1]).write_text(str(subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL).pid))
sys.exit(3)
"""


def alive(pid: int) -> bool:
    """Whether a process is there; one that has ended and was not asked for its exit code is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_rows_of_a_part_are_what_it_prints() -> None:
    assert hub.measured("good", [sys.executable, "-c", GOOD], 30) == [Row("x", "1", "-", "-", "-", None)]


def test_a_part_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "END_SECONDS", 1.0)
    told, began = tmp_path / "pids", time.monotonic()
    (row,) = hub.measured("stubborn", [sys.executable, "-c", STUBBORN, str(told)], 5)
    assert (row.value, row.met) == (FAILED, False)
    assert "not done within 5 s" in row.what
    assert time.monotonic() - began < 30
    assert [pid for pid in told.read_text().split() if alive(int(pid))] == []


def test_a_part_that_fails_says_so_and_leaves_nothing_behind(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    (row,) = hub.measured("failing", [sys.executable, "-c", GROUP_OF_ONE_LEFT, str(told)], 30)
    assert (row.value, row.met) == (FAILED, False)
    assert "exit code 3" in row.what
    assert not alive(int(told.read_text()))


def test_a_part_there_is_no_time_for_is_not_begun() -> None:
    (row,) = hub.measured("late", ["/no/such/program"], -1)
    assert "no time was left" in row.what


def test_every_part_is_known_to_its_program(tmp_path: Path) -> None:
    from bench import hub_part

    for name in hub.PARTS:
        hub_part.part(name, tmp_path).close()
