"""`python -m bench.hub_part PART FOLDER`: one part of the hub's benchmark, its rows as JSON on stdout."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx
import uvloop

from bench import hub_beats, hub_crowds, hub_series, hub_states
from bench.table import Row


def part(name: str, folder: Path) -> Coroutine[Any, Any, list[Row]]:
    """The part that has this name in bench.hub.PARTS."""
    parts = {
        "heartbeats": hub_beats.heartbeats,
        "logging, 100 devices": lambda folder: hub_beats.logging_price(folder, 100),
        "logging, 1,000 devices": lambda folder: hub_beats.logging_price(folder, 1000),
        "/metrics": hub_series.metrics_page,
        "state messages": hub_states.states,
        "waits": hub_crowds.waits,
        "live pages": hub_crowds.pages,
    }
    return parts[name](folder)


def main() -> int:
    name, folder = sys.argv[1], Path(sys.argv[2])
    try:
        rows = uvloop.run(part(name, folder))
    except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError, httpx.HTTPError) as error:
        print(f"bench: {name}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(json.dumps([dataclasses.asdict(row) for row in rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
