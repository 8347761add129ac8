"""What happens to any series in a studio's life; in such weather a case must come out the same.

- gap: every seventh sample is missing
- nan: now and then a sample is a NaN (the kind that VictoriaMetrics stores: a stale marker)
- restart: what counts restarts half-way: it is away for a sample, and its counters begin anew
- late: the newest 45 seconds have not arrived when the rule is evaluated (asked of the silent cases)
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from lab.rules.cases import Case
from lab.rules.values import STALE, Sample

LATE_SECONDS: Final = 45
Hazard = Callable[[str, list[Sample], int], list[Sample]]


def _gap(_name: str, found: list[Sample], _half: int) -> list[Sample]:
    return [None if n % 7 == 3 else sample for n, sample in enumerate(found)]


def _nan(_name: str, found: list[Sample], _half: int) -> list[Sample]:
    return [STALE if n % 11 == 5 and sample is not None else sample for n, sample in enumerate(found)]


def _restart(name: str, found: list[Sample], half: int) -> list[Sample]:
    if not name.partition("{")[0].endswith("_total") or half >= len(found):
        return found
    gone = next((s for s in reversed(found[:half]) if isinstance(s, float)), 0.0)
    return [*found[:half], STALE, *(s - gone if isinstance(s, float) else s for s in found[half + 1 :])]


SERIES: Final[dict[str, Hazard]] = {"restart": _restart, "gap": _gap, "nan": _nan}
HAZARDS: Final = frozenset({*SERIES, "late"})


def in_weather(case: Case) -> Case:
    """The case with every hazard that it is not spared, at its first silent moment and a middle one that fires.

    The moments around a change are left out: a missing sample may move it.
    """
    if unknown := sorted(set(case.spared) - HAZARDS):
        raise ValueError(f"{case.rule}, {case.name}: no such hazard: {', '.join(unknown)}")
    silent, fires = case.silent[:1], case.fires[len(case.fires) // 2 :][:1]
    half = min(silent + fires) // case.step // 2
    series = case.series
    for name in SERIES:
        if name not in case.spared:
            series = {key: SERIES[name](key, found, half) for key, found in series.items()}
    if not fires and "late" not in case.spared:
        last = (silent[0] - LATE_SECONDS) // case.step
        series = {key: found[: last + 1] for key, found in series.items()}
    return replace(case, name=f"{case.name}, in any weather", series=series, silent=silent, fires=fires, says=None)
