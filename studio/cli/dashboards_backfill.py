"""studio dashboards backfill: the recorded series, for a time of which only the parts' own are stored."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from dashboards.recorded import EVERY_SECONDS
from studio.cli import chosen
from studio.cli.outcome import Exit, Stop
from studio.cli.replay import asked, period
from studio.cli.replay_view import time
from studio.replay.question import backfill as question

STEP: Final = timedelta(days=7)
EVERY: Final = timedelta(seconds=EVERY_SECONDS)
SETTLED: Final = timedelta(minutes=10)
"""What is newer, vmalert may be about to record itself."""


def steps(begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """First and last evaluation of each stretch of at most STEP, the newest stretch first; none is in two of them.

    They are at whole intervals of epoch time, as vmalert's are.
    """
    first, after = (
        datetime.fromtimestamp(int(at.timestamp()) // EVERY_SECONDS * EVERY_SECONDS, UTC) for at in (begin, end)
    )
    while after > first:
        since = max(first, after - STEP)
        yield since, after - EVERY
        after = since


def backfill(name: str | None, since: str, until: str | None) -> None:
    """Fill in what is missing, a week at a time."""
    studio, now = chosen.studio(name), datetime.now(UTC)
    begin, end = period(since, until, now)
    weeks = list(steps(begin, min(end, now - SETTLED)))
    if not weeks:
        raise Stop(Exit.BAD_INPUT, f"--from must be longer ago than {SETTLED}: what is newer is recorded anyway")
    stored, samples = False, 0
    for number, (first, last) in enumerate(weeks, 1):
        told = json.loads(asked(studio, question(studio, first, last)))
        stored, samples = stored or told["stored"], samples + told["samples"]
        what = f"{told['samples']:,} samples of {told['series']} series" if told["stored"] else "nothing is stored"
        print(f"{number}/{len(weeks)}  {time(first.timestamp())} to {time(last.timestamp())}: {what}", flush=True)
    if not stored:
        raise Stop(Exit.FAILED, f"{studio.name}: nothing is stored of that time: choose another")
    print(f"{studio.name}: {samples:,} samples were missing" if samples else f"{studio.name}: nothing was missing")
