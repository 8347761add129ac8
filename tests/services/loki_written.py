"""The cases as the hub writes them, at the times they say, and the rendered files that they go through."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from loki_cases import CASES, Case

from hub.logs import LogWriter
from hub.metrics import Metrics
from hub.provision.eventlog import EventLog
from hub.provision.events import ProvisionEvents
from studio.model import Studio, load_studio
from studio.render import render

FROM = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTES = 120
HUB_UNIT = {"__journal__systemd_user_unit": "hub.service", "__journal__systemd_unit": "user@1001.service"}
JOBS = {"promtail": ("projectplant_provisioning", "journal"), "alloy": ("provisioning", "journal")}
SHIPPING = {"loki_url": "https://logs.example.net/loki/api/v1/push"}
LAB = load_studio("lab")
STUDIO = Studio.model_validate({**LAB.model_dump(), "logs": {**LAB.logs.model_dump(), **SHIPPING}})

Lines = tuple[list[str], list[str]]


def written(case: Case, folder: Path) -> Lines:
    """The lines of the hub's event log and of its own log."""
    lost: list[int] = []
    now = FROM

    def clock() -> int:
        return int(now.timestamp() * 1000)

    events, own = folder / "events.jsonl", folder / "hub.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hub.provision.eventlog.now_ms", clock)
        patch.setattr("hub.logs.now_ms", clock)
        event_log = EventLog(events, lost.append)
        fd = os.open(own, os.O_WRONLY | os.O_CREAT)
        log = LogWriter(fd)
        noted = ProvisionEvents(event_log, Metrics(), log)
        for minute, step in sorted(case.steps, key=lambda step: step[0]):
            now = FROM + timedelta(minutes=minute)
            step(noted, log)
        event_log.close()
        log.close()
        os.close(fd)
    assert lost == []
    return (events.read_text().splitlines() if events.exists() else []), own.read_text().splitlines()


def plays(logs: list[Lines], by: str) -> list[dict[str, Any]]:
    """Every case as the tool takes it, for one of the collectors."""
    provisioning, journal = JOBS[by]
    return [
        {
            "name": case.name,
            "from": FROM.isoformat(),
            "minutes": MINUTES,
            "logs": [
                {"job": provisioning, "labels": {}, "lines": events},
                {"job": journal, "labels": HUB_UNIT, "lines": own},
            ],
        }
        for case, (events, own) in zip(CASES, logs, strict=True)
    ]


def rendered(folder: Path) -> Path:
    """What a studio that ships its logs has for Loki, Promtail and Alloy."""
    for path, artifact in render(STUDIO).files.items():
        if path.startswith(("loki/", "promtail/", "alloy/")):
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(artifact.content)
    return folder


def pipelines(files: Path, by: str) -> list[Path]:
    return sorted((files / by).iterdir())
