"""studio replay: what the alert rules would have said about a time that is over."""

import inspect
import json
import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from studio.cli import chosen
from studio.cli.outcome import Exit, Stop
from studio.cli.replay_view import show, time
from studio.host import Failed, run_deployed
from studio.model import Studio
from studio.replay import on_host
from studio.replay.episodes import Episode, episodes
from studio.replay.question import question, stretches

SPAN: Final = re.compile(r"(\d+)([mhdw])")
UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS: Final = 1800.0


def moment(option: str, text: str, now: datetime) -> datetime:
    """A time such as 2026-11-20, 2026-11-20T08:30 (this machine's time) or ...Z, or 24h, 7d: so long ago."""
    try:
        if match := SPAN.fullmatch(text):
            found = now - timedelta(**{UNITS[match[2]]: int(match[1])})
        else:
            found = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        forms = "2026-11-20, 2026-11-20T08:30, 2026-11-20T08:30Z, or 24h or 7d for so long ago"
        raise Stop(Exit.BAD_INPUT, f"{option}: {text!r} is no time: give {forms}") from None
    if found < EPOCH:
        raise Stop(Exit.BAD_INPUT, f"{option}: {text!r} is before 1970, where the storage's time begins")
    return found


def period(since: str, until: str | None, now: datetime) -> tuple[datetime, datetime]:
    """Begin and end of a time that is over; raises Stop for any other."""
    begin, end = moment("--from", since, now), moment("--to", until, now) if until else now
    if begin >= end:
        raise Stop(Exit.BAD_INPUT, f"--from ({time(begin.timestamp())}) must be before --to ({time(end.timestamp())})")
    if end > now:
        raise Stop(
            Exit.BAD_INPUT, f"--to ({time(end.timestamp())}) is in the future, of which nothing is stored: leave it out"
        )
    return begin, end


def asked(studio: Studio, question: dict[str, Any]) -> str:
    """What the host answers; raises Failed with what it said, Unreachable when there is no host."""
    argv = ["python3", "-I", "-c", inspect.getsource(on_host)]
    answer = run_deployed(studio, argv, stdin=json.dumps(question).encode(), timeout=SECONDS)
    if answer.code:
        raise Failed(f"{studio.name}: {answer.err}", answer.code)
    return answer.text


def replayed(studio: Studio, begin: datetime, end: datetime, url: str | None) -> tuple[float, list[Episode]]:
    """Since when something is stored between two times (epoch seconds), and the episodes; progress goes to stderr.

    Raises what `asked` does, and Stop when nothing is stored.
    """
    days, lines, first = list(stretches(begin, end)), list[str](), None
    for number, (since, until) in enumerate(days, 1):
        if len(days) > 1:
            span = f"{time(since.timestamp())} to {time(until.timestamp())}"
            print(f"{number}/{len(days)}  {span}", file=sys.stderr, flush=True)
        told = json.loads(asked(studio, question(studio, since, until, url)))
        lines += told["alerts"].splitlines()
        if first is None and told["stored"] is not None:
            first = float(told["stored"])
    if first is None:
        span = f"from {time(begin.timestamp())} to {time(end.timestamp())}"
        raise Stop(Exit.FAILED, f"{studio.name}: nothing is stored {span}: choose another time")
    return first, episodes(lines)


def replay(name: str | None, since: str, until: str | None, url: str | None, *, as_json: bool) -> None:
    """Tell what would have fired."""
    studio, now = chosen.studio(name), datetime.now(UTC)
    begin, end = period(since, until, now)
    first, found = replayed(studio, begin, end, url)
    if first > begin.timestamp():
        print(f"{studio.name}: nothing is stored before {time(first)}: nothing is told of it", file=sys.stderr)
    if as_json:
        print(json.dumps([asdict(episode) for episode in found], indent=2))
    else:
        show(studio, found, first, end.timestamp())
