"""How the answer of `studio replay` looks: a table of what would have fired, then a line of time for each alert."""

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from textwrap import wrap
from typing import Final

from rich.table import Table
from rich.text import Text

from studio.cli import chosen
from studio.model import Studio
from studio.replay.episodes import Episode, timeline

UNITS: Final = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
LONGEST_BAR: Final = 96
GAP: Final = 2
NARROWEST: Final = 60


def time(at: float) -> str:
    """An epoch second as this machine's clock shows it."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")


def lasted(seconds: float) -> str:
    """Two units at most: 2d 3h, 10m, 31m 40s."""
    left, found = round(seconds), []
    for unit, size in UNITS:
        count, left = divmod(left, size)
        if count:
            found.append(f"{count}{unit}")
    return " ".join(found[:2]) or "0s"


def _firings(found: Sequence[Episode]) -> Table:
    """A row each firing; one that is told to both types is one."""
    table = Table(box=None, header_style="bold")
    for column in ("from", "for", "alert", "type", "severity"):
        table.add_column(column, no_wrap=column != "alert", overflow="fold")

    def firing(e: Episode) -> tuple[float, str, str, float, str]:
        return e.begin, e.alert, e.about, e.end, e.labels.get("severity", "")

    for (begin, alert, about, end, severity), own in groupby(sorted(found, key=firing), firing):
        types = ", ".join(sorted(e.labels.get("type", "") for e in own))
        table.add_row(time(begin), lasted(end - begin), Text(f"{alert}  {about}"), types, severity)
    return table


def _values(about: str) -> str:
    """The labels' values: the table has their names."""
    return re.sub(r"(^|, )\w+=", r"\1", about)


def _timeline(found: Sequence[Episode], begin: float, end: float, width: int) -> list[str]:
    """Lines of no more than `width` characters: each alert's name once, what it is about, and when it fires.

    What is too long goes on in the next line: an end that is cut off may be all that tells two furnaces apart.
    """
    width = max(width, NARROWEST)
    keys = list(timeline(found, begin, end, 1))
    names = max(len(alert) for alert, _ in keys)
    about = max(1, min(max(len(_values(about)) for _, about in keys), (width - names) // 3))
    bar = min(width - names - about - 2 * GAP, LONGEST_BAR)
    lines = [" " * (names + about + 2 * GAP) + time(begin) + time(end).rjust(bar - len(time(begin)))]
    order = {alert: n for n, alert in reversed(list(enumerate(alert for alert, _ in keys)))}
    said = ""
    for (alert, what), drawn in sorted(timeline(found, begin, end, bar).items(), key=lambda row: order[row[0][0]]):
        name = "" if alert == said else alert
        said = alert
        first, *more = wrap(_values(what), about) or [""]
        lines.append(f"{name:{names}}{'':{GAP}}{first:{about}}{'':{GAP}}{drawn}")
        lines += [f"{'':{names + GAP}}{rest}" for rest in more]
    return lines


def show(studio: Studio, found: Sequence[Episode], begin: float, end: float) -> None:
    """Tell what would have fired between two moments (epoch seconds)."""
    console = chosen.console()
    span = f"{studio.name}, {time(begin)} to {time(end)}"
    if not found:
        console.print(f"{span}: nothing would have fired")
        return
    console.print(f"{span}: what would have fired\n")
    console.print(_firings(found))
    console.print()
    for line in _timeline(found, begin, end, console.width):
        console.print(Text(line), no_wrap=True, overflow="ignore", crop=False)
