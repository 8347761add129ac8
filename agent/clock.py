"""Time: the wall's for people, the monotonic one for durations, so that a jump of the clock harms nothing."""

import datetime
import time

EARLIEST_PLAUSIBLE = 1_735_689_600.0
"""2025-01-01 UTC, s: a wall clock before it was never set (a board without a battery starts in 1970)."""


def timestamp() -> str:
    """Now, ISO 8601 UTC with milliseconds, as in 2026-02-03T04:05:06.789Z."""
    now = datetime.datetime.fromtimestamp(time.time(), datetime.UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"


def compact() -> str:
    """Now as part of a file name, as in 20260203T040506Z."""
    return datetime.datetime.fromtimestamp(time.time(), datetime.UTC).strftime("%Y%m%dT%H%M%SZ")


def epoch_milliseconds() -> int | None:
    """Now in ms since 1970, None while the wall clock was evidently never set."""
    now = time.time()
    return int(now * 1000) if now >= EARLIEST_PLAUSIBLE else None
