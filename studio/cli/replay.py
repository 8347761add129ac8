"""studio replay: what the alert rules would have said about a time that is over."""

import inspect
import json
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

from rich.table import Table
from rich.text import Text

from studio.cli import chosen
from studio.cli.outcome import Exit, Stop
from studio.host import Failed, run
from studio.model import Studio
from studio.replay import on_host
from studio.replay.episodes import Episode, episodes, timeline
from studio.replay.question import question

SPAN: Final = re.compile(r"(\d+)([mhdw])")
UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
WIDTH: Final = 72
SECONDS: Final = 1800.0


def moment(text: str, now: datetime) -> datetime:
    """A time such as 2026-11-20, 2026-11-20T08:30 (this machine's time) or ...Z, or 24h, 7d: so long ago."""
    if match := SPAN.fullmatch(text):
        return now - timedelta(**{UNITS[match[2]]: int(match[1])})
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        what = (
            f"{text!r} is no time: give 2026-11-20, 2026-11-20T08:30, 2026-11-20T08:30Z, or 24h or 7d for so long ago"
        )
        raise Stop(Exit.BAD_INPUT, what) from None


def replayed(studio: Studio, begin: datetime, end: datetime, url: str | None) -> list[Episode]:
    """The episodes between two times; raises Failed with what vmalert said, Unreachable when there is no host."""
    asked = json.dumps(question(studio, begin, end, url)).encode()
    argv = ["python3", "-I", "-c", inspect.getsource(on_host)]
    answer = run(studio, argv, stdin=asked, timeout=SECONDS)
    if answer.code:
        raise Failed(f"{studio.name}: {answer.err}", answer.code)
    return episodes(answer.text.splitlines())


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def show(studio: Studio, found: list[Episode], begin: datetime, end: datetime) -> None:
    """A table of the episodes, then a line of time for each alert."""
    console = chosen.console()
    span = f"{_time(begin.timestamp())} to {_time(end.timestamp())}"
    if not found:
        console.print(f"{studio.name}: nothing would have fired from {span}")
        return
    table = Table("alert", "about", "type", "severity", "from", "for", title=f"{studio.name}, {span}")
    for e in found:
        lasted = str(timedelta(seconds=round(e.seconds)))
        table.add_row(
            e.alert, Text(e.about), e.labels.get("type", ""), e.labels.get("severity", ""), _time(e.begin), lasted
        )
    console.print(table)
    for (alert, about), bar in timeline(found, begin.timestamp(), end.timestamp(), WIDTH).items():
        console.print(Text(f"{bar} {alert} {about}"))


def replay(name: str | None, since: str, until: str | None, url: str | None, *, as_json: bool) -> None:
    """Tell what would have fired."""
    studio, now = chosen.studio(name), datetime.now(UTC)
    begin, end = moment(since, now), moment(until, now) if until else now
    if begin >= end:
        raise Stop(
            Exit.BAD_INPUT, f"--from ({_time(begin.timestamp())}) must be before --to ({_time(end.timestamp())})"
        )
    found = replayed(studio, begin, end, url)
    if as_json:
        print(json.dumps([asdict(episode) for episode in found], indent=2))
    else:
        show(studio, found, begin, end)
