"""The hub beside the least that does the same, each a program of its own, in turns in one run.

`python -m bench hub [--json]`: under five minutes, whatever the machine is busy with. Each part is a process of its own
(bench/hub_part.py) with a time limit; when it fails, its row says so and the others are measured all the same. What a
part has started ends with it: SIGTERM, and SIGKILL after ten seconds. docs/hub.md says what was measured.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from bench.table import FAILED, Row

ROOT = Path(__file__).parent.parent
PARTS = (
    "heartbeats",
    "logging, 100 devices",
    "logging, 1,000 devices",
    "/metrics",
    "state messages",
    "waits",
    "live pages",
)
ALL_SECONDS = 270.0
PART_SECONDS = 75.0
END_SECONDS = 10.0


def run() -> list[Row]:
    """Every row there is time for."""
    rows: list[Row] = []
    until = time.monotonic() + ALL_SECONDS
    with tempfile.TemporaryDirectory() as made, _sigterm_is_an_exit():
        for number, part in enumerate(PARTS):
            print(f"bench: {part}", file=sys.stderr, flush=True)
            folder = Path(made) / str(number)
            folder.mkdir()
            command = [sys.executable, "-m", "bench.hub_part", part, str(folder)]
            rows += measured(part, command, min(PART_SECONDS, until - time.monotonic()))
    return rows


def measured(part: str, command: Sequence[str], seconds: float) -> list[Row]:
    """The rows that a command prints as JSON; when it fails or takes too long, one that says so."""
    if seconds <= 0:
        return [_failed(part, "no time was left for it")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        told, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return [_failed(part, f"not done within {seconds:.0f} s")]
    finally:
        end_group(process)
    if process.returncode:
        return [_failed(part, f"exit code {process.returncode}")]
    return [Row(**row) for row in json.loads(told)]


def end_group(process: "subprocess.Popen[str]") -> None:
    """End a process and all that it has started, also what is held still: first kindly, then not."""
    for number, seconds in ((signal.SIGTERM, END_SECONDS), (signal.SIGKILL, END_SECONDS)):
        try:
            os.killpg(process.pid, number)
            os.killpg(process.pid, signal.SIGCONT)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                process.poll()
                os.killpg(process.pid, 0)
                time.sleep(0.05)
        except ProcessLookupError:
            break
    process.wait()


def _failed(part: str, why: str) -> Row:
    print(f"bench: {part}: {why}", file=sys.stderr, flush=True)
    return Row(f"{part}: {why}", FAILED, "-", "-", "-", False)


@contextlib.contextmanager
def _sigterm_is_an_exit() -> Iterator[None]:
    """So that a benchmark that is ended takes its processes with it."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
