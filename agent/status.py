"""How far provisioning is, for people and programs: `provision_status.json`."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent import clock, durable, strictjson
from agent.errors import AgentError
from agent.logs import Log

FILE = "provision_status.json"
MARKER = "provision.txt"
PROCESSED = "provision.txt.processed"
JOURNAL = ".provision.journal"
KEPT_HISTORY = 20
LAST_STEP = "rename the marker"
INTERRUPTED = {
    "kind": "interrupted",
    "message": "the agent was ended in the middle of it",
    "advice": f"Nothing was lost: the next start with {MARKER} in its place goes on with it",
}
UNDER_WAY = ("step", "retries", "last_failure")
"""What is told of an attempt until it is completed."""


def is_asked(folder: Path) -> bool:
    """Whether provisioning is asked for; a marker that is a link to nothing asks too."""
    return os.path.lexists(folder / MARKER)


def is_unsettled(folder: Path) -> bool:
    """Whether an attempt was cut short after its marker was renamed, so that there is something to tidy up."""
    return os.path.lexists(folder / JOURNAL) or read(folder).get("phase") == "in-progress"


class StatusFile:
    """Writes each change of an attempt. It never stops provisioning: what cannot be written is a warning."""

    def __init__(self, folder: Path, attempt: str, log: Log) -> None:
        self._folder = folder
        self._log = log
        self._entry: dict[str, Any] = {"attempt": attempt, "started": clock.timestamp()}
        self._history = [self._entry, *map(_ended, read(folder).get("history", []))][:KEPT_HISTORY]

    def set(self, phase: str, **details: object) -> None:
        """Write the phase (in-progress, completed, failed) with details."""
        _update(self._entry, phase, details)
        _write(self._folder, self._history, self._log)


def _ended(entry: dict[str, Any]) -> dict[str, Any]:
    """An attempt once it is nobody's any more: one that is in progress still was interrupted."""
    return {**entry, "phase": "failed", "error": INTERRUPTED} if entry.get("phase") == "in-progress" else entry


def _closed(entry: dict[str, Any], *, completed: bool) -> dict[str, Any]:
    """An attempt without a marker: completed all the same, or interrupted."""
    if not completed:
        return _ended(entry)
    return {key: value for key, value in entry.items() if key not in ("step", "error")} | {"phase": "completed"}


def _update(entry: dict[str, Any], phase: str, details: Mapping[str, object]) -> None:
    entry.update(phase=phase, updated=clock.timestamp(), **details)
    if phase == "completed":
        for key in ("step", "error"):
            entry.pop(key, None)


def _write(folder: Path, history: list[dict[str, Any]], log: Log) -> None:
    while len(data := _dumped(history)) > strictjson.LIMIT and len(history) > 1:
        history.pop()
    try:
        durable.place(folder / FILE, data, 0o640)
    except AgentError as error:
        log.warning("status not written", error=error.message, advice=error.advice)


def _dumped(history: list[dict[str, Any]]) -> bytes:
    return (json.dumps({"format": 1, **history[0], "history": history}, indent=2) + "\n").encode()


def close(folder: Path, log: Log, *, completed: bool) -> None:
    """Note how the newest attempt ended: completed but for this note, or interrupted and not asked for any more."""
    history = read(folder).get("history", [])
    if history:
        _write(folder, [_closed(history[0], completed=completed), *history[1:]], log)


def read(folder: Path) -> dict[str, Any]:
    """The stored status; empty when there is none, or when it is damaged or cannot be read."""
    try:
        return _stored(folder)
    except AgentError:
        return {}


def _stored(folder: Path) -> dict[str, Any]:
    try:
        values = strictjson.parse(durable.read(folder / FILE, strictjson.LIMIT))
    except (FileNotFoundError, ValueError):
        return {}
    history = values.get("history")
    sound = isinstance(history, list) and all(map(_is_sound, [values, *history]))
    return values if sound else {}


def _is_sound(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("error", {}), dict)


def describe(folder: Path, *, running: bool) -> dict[str, Any]:
    """The phase as it is now: pending, in-progress, completed, failed, or none when nothing was ever asked.

    `running`: whether an agent holds the folder. An attempt in progress without one was interrupted; the next start
    goes on with it. Raises AgentError when what is stored cannot be read: that is not `none`.
    """
    stored = _stored(folder)
    asked = is_asked(folder)
    history = stored.get("history", [])
    phase = str(stored.get("phase", "none"))
    interrupted = phase == "in-progress" and not running
    if asked and phase in ("none", "completed"):
        phase = "pending"
    elif interrupted and not asked:
        # As the next start notes it (see provision.settle).
        completed, interrupted = stored.get("step") == LAST_STEP, False
        stored, *newest = (_closed(entry, completed=completed) for entry in (stored, *history[:1]))
        phase, history = stored["phase"], [*newest, *history[1:]]
    keys = ["attempt", "started", "updated", "device", "error"]
    if phase not in ("pending", "completed"):
        keys += UNDER_WAY
    return {
        "phase": phase,
        "interrupted": interrupted,
        "asked": asked,
        **{key: stored[key] for key in keys if key in stored},
        "history": history,
    }
