"""Readings of the camera: from a program, from a file that another program writes, or simulated."""

import math
import re
import time
from typing import Any

from agent import durable, errors, program, strictjson
from agent.errors import AgentError
from agent.settings import Command, Source

PLAUSIBLE = (-50.0, 2000.0)
"""°C; what the pipeline takes of any `temp…` value."""
MOST_FIELDS = 50
TAIL = 200
"""Bytes of what a program says on standard error that are told when it fails."""
LONGEST = 60
"""s that a program may take, however long the interval: well within the watchdog's time, which is not fed meanwhile."""


class ReadingError(Exception):
    """There is no good reading now; the next one may be better."""


def read(source: Source, interval: float) -> dict[str, float]:
    """One reading, as in {"temp_max": 511.2, "temp_min": 430.0, "temp_mean": 480.1} (°C); raises ReadingError."""
    if source.simulator:
        return simulated(time.monotonic())
    try:
        data = _from_command(source.command, interval) if source.command else _from_file(source, interval)
        values = strictjson.parse(data)
    except (AgentError, program.ProgramError, ValueError) as error:
        raise ReadingError(str(error)) from error
    return checked(values)


def _from_command(argv: tuple[str, ...], interval: float) -> bytes:
    printed, told = bytearray(), bytearray()

    def take(data: bytes) -> None:
        printed.extend(data)
        if len(printed) > strictjson.LIMIT:
            raise ReadingError(f"the command printed more than {strictjson.LIMIT} bytes and was ended")

    def note(data: bytes) -> None:
        told[:] = (told + data)[-TAIL:]

    code = program.run(Command(argv, min(max(interval, 10), LONGEST)), take, stderr=note)
    if code:
        raise ReadingError(f"the command ended with {code}: {told.decode('utf-8', 'replace').strip()}")
    return bytes(printed)


def _from_file(source: Source, interval: float) -> bytes:
    if source.file is None:
        raise ReadingError("no source is set")
    try:
        age = time.time() - source.file.stat().st_mtime
        if abs(age) <= max(3 * interval, 30):
            return durable.read(source.file, strictjson.LIMIT)
    except FileNotFoundError:
        raise ReadingError(f"{source.file} is not there: nobody has written a reading yet") from None
    except OSError as error:
        raise errors.of_os(error, source.file, errors.READING) from error
    when = f"was last written {age:.0f} s ago" if age > 0 else f"is dated {-age:.0f} s ahead of this device's clock"
    raise ReadingError(f"{source.file} {when}")


def checked(values: dict[str, Any]) -> dict[str, float]:
    """The reading when every value is a plausible number; raises ReadingError with the first that is not."""
    if not 0 < len(values) <= MOST_FIELDS:
        raise ReadingError(f"a reading has 1 to {MOST_FIELDS} values, this one has {len(values)}")
    for key, value in values.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", key) or key == "ts":
            raise ReadingError(f'"{key[:40]}" is not a name of a value: use letters, digits and "_"')
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ReadingError(f"{key} must be a number, it is {strictjson.kind(value)}")
        if key.startswith("temp") and not PLAUSIBLE[0] <= value <= PLAUSIBLE[1]:
            raise ReadingError(f"{key} is {value:g} °C, which is not between {PLAUSIBLE[0]:g} and {PLAUSIBLE[1]:g}")
    return values


def simulated(seconds: float) -> dict[str, float]:
    """What a camera might see of an annealer at a moment, °C."""
    mean = 480 + 20 * math.sin(seconds / 300) + 0.5 * math.sin(seconds * 1.7)
    return {"temp_mean": round(mean, 2), "temp_max": round(mean + 31, 2), "temp_min": round(mean - 45, 2)}
