"""Samples of a series in a short notation: segments of a value and how long it lasts, `1150 10m, 1260 5m`.

| value | samples |
|---|---|
| `1150` | the same |
| `1150~3` | a wobble around it: +3, 0, -3, 0, ... |
| `1150..900` | a straight line from one to the other |
| `+2` | a counter that goes up by 2 from where it is (from 0) |
| `_` | none |

A sample is a number, None for none, or STALE: what a scraper stores when its target is gone (a kind of NaN).
"""

import re
from collections.abc import Iterator
from typing import Final, Literal

STALE: Final = "stale"
Sample = float | Literal["stale"] | None
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
NUMBER: Final = r"-?\d+(?:\.\d+)?(?:e\d+)?"
WOBBLE: Final = (1, 0, -1, 0)


def seconds(text: str) -> int:
    """`1h30m` in seconds."""
    if not re.fullmatch(r"(\d+[smhd])+", text):
        raise ValueError(f"{text!r} is no duration such as 90s or 1h30m")
    return sum(int(n) * UNITS[unit] for n, unit in re.findall(r"(\d+)([smhd])", text))


def _segment(value: str, count: int, last: float) -> Iterator[Sample]:
    if value == "_":
        yield from [None] * count
    elif match := re.fullmatch(rf"\+({NUMBER})", value):
        yield from (last + float(match[1]) * (n + 1) for n in range(count))
    elif match := re.fullmatch(rf"({NUMBER})\.\.({NUMBER})", value):
        begin, end = float(match[1]), float(match[2])
        yield from (begin + (end - begin) * n / count for n in range(count))
    elif match := re.fullmatch(rf"({NUMBER})~({NUMBER})", value):
        yield from (float(match[1]) + WOBBLE[n % 4] * float(match[2]) for n in range(count))
    elif re.fullmatch(NUMBER, value):
        yield from [float(value)] * count
    else:
        raise ValueError(f"{value!r} is no value of the notation")


def samples(text: str, step: int) -> list[Sample]:
    """The samples of a series, one each `step` seconds."""
    found: list[Sample] = []
    for segment in text.split(","):
        value, _, lasts = segment.strip().partition(" ")
        numbers = [s for s in found if isinstance(s, float)]
        found += _segment(value, seconds(lasts.strip()) // step, numbers[-1] if numbers else 0.0)
    return found


def notation(found: list[Sample]) -> str:
    """The samples as vmalert-tool reads them."""
    return " ".join(
        "_" if s is None else s if isinstance(s, str) else f"{s:.6f}".rstrip("0").rstrip(".") for s in found
    )
