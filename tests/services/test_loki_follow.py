"""Promtail and Alloy follow the hub's event file through its rotations: by the library of both, set as they set it."""

import json
from pathlib import Path

import pytest
from loki_support import following

from hub.provision.eventlog import EventLog, Rotation

pytestmark = pytest.mark.services
BURST = 200
BURSTS = 8
ROTATION = Rotation(size=20_000, kept=20)
"""More than a burst: a collector looks four times a second, and follows one rotation between two looks."""


def test_a_collector_reads_every_line_once_though_the_file_is_rotated(tmp_path: Path) -> None:
    path, failed, seen = tmp_path / "events.jsonl", list[int](), list[int]()
    path.touch()
    log = EventLog(path, failed.append, ROTATION)
    with following(path, BURST * BURSTS) as collector:
        assert collector.stdout is not None
        for burst in range(BURSTS):
            for n in range(BURST):
                log.write("state_message", {"n": burst * BURST + n})
            seen += [json.loads(collector.stdout.readline())["n"] for _ in range(BURST)]
        assert collector.wait(60) == 0
    log.close()
    assert seen == list(range(BURST * BURSTS))
    assert len(list(tmp_path.iterdir())) > BURSTS // 2, "it was rotated again and again"
    assert failed == []
