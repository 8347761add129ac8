"""Processor time of a render, from 1 to 10,000 studios; the peer is the same work for ten times fewer studios."""

import time
from typing import Any

import yaml

from bench.table import Row
from studio.model import Studio
from studio.paths import INVENTORIES
from studio.render import render

SIZES = (1, 100, 1_000, 10_000)
GOAL_SECONDS = 5.0


def studios(count: int) -> list[Studio]:
    """Distinct studios, each like rosewood but with a name and limits of its own."""
    example: dict[str, Any] = yaml.safe_load((INVENTORIES / "rosewood.yaml").read_text())
    made = []
    for number in range(count):
        furnaces = [{**f, "high": f["high"] + number % 50} for f in example["furnaces"]]
        made.append(Studio.model_validate({**example, "name": f"studio-{number}", "furnaces": furnaces}))
    return made


def measure(sizes: tuple[int, ...] = SIZES) -> list[Row]:
    """Rows: seconds for each size, the ratio of its cost per studio to that of the size before."""
    render(studios(1)[0])
    rows: list[Row] = []
    before: float | None = None
    for size in sizes:
        batch = studios(size)
        begin = time.process_time()
        generations = {render(studio).generation for studio in batch}
        seconds = time.process_time() - begin
        if len(generations) != size:
            raise AssertionError(f"{size} studios gave {len(generations)} generations")
        each = seconds / size
        ratio = "-" if before is None else f"{each / before:.2f} a studio"
        met = (
            seconds <= GOAL_SECONDS if size == 1_000 else (before is None or each / before < 1.5) if size > 1 else None
        )
        goal = f"<= {GOAL_SECONDS:g} s" if size == 1_000 else "linear (< 1.5)" if size > 1 else "-"
        peer = "-" if before is None else f"{before * 1000:.2f} ms a studio"
        rows.append(
            Row(f"render {size:,} studios", f"{seconds:.2f} s ({each * 1000:.2f} ms each)", peer, ratio, goal, met)
        )
        before = each
    return rows
