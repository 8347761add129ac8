"""Results as a table for people and as JSON for programs."""

import json
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

FAILED = "failed"
"""The value of a row that could not be measured."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was measured, its value, the peer's in the same run, their ratio, and what was hoped for."""

    what: str
    value: str
    peer: str
    ratio: str
    goal: str
    met: bool | None


def seconds(what: str, value: float, peer: float, goal: float) -> Row:
    """A line of a time that should be below `goal`, beside the peer's."""
    return Row(what, f"{value:.2f} s", f"{peer:.2f} s", f"{value / peer:.2f}", f"< {goal:g} s", value < goal)


def show(title: str, rows: list[Row], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"title": title, "rows": [asdict(row) for row in rows]}))
        return
    table = Table(title=title, title_justify="left")
    for heading in ("what", "value", "peer in the same run", "ratio", "goal", "met"):
        table.add_column(heading)
    for row in rows:
        met = {True: "yes", False: "NO", None: "-"}[row.met]
        table.add_row(row.what, row.value, row.peer, row.ratio, row.goal, met)
    Console(width=None if Console().is_terminal else 150).print(table)
