"""How many mutants of the alert rules do their cases catch?

The mutants of a rule go through the rule's cases together, the shortest first; what one has caught is not asked of the
next one.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.rules.cases import Case, cases
from lab.rules.mutants import Mutant, mutants
from lab.rules.tool import told_apart, trial
from studio.model import load_studio

GOAL: Final = 0.9


@dataclass(frozen=True)
class Score:
    """Of one rule: its mutants, those that no case tells from it, and the seconds that it took to find out."""

    rule: str
    mutants: int
    survivors: list[Mutant]
    seconds: float

    @property
    def caught(self) -> int:
        return self.mutants - len(self.survivors)


def share(scores: Sequence[Score]) -> float:
    """The part of all mutants that is caught; 1 when there is none."""
    asked = sum(score.mutants for score in scores)
    return sum(score.caught for score in scores) / asked if asked else 1.0


def _evaluations(case: Case) -> float:
    return max(case.silent + case.fires) / case.every


def _score(root: Path, name: str) -> Score:
    began = time.monotonic()
    on_trial = trial(load_studio("lab"), name)
    found = {f"mutant {n}": mutant for n, mutant in enumerate(mutants(name, on_trial.expected))}
    left = dict(found)
    for case in sorted(cases()[name], key=_evaluations):
        if not left:
            break
        with tempfile.TemporaryDirectory() as folder:
            odd = told_apart(root, Path(folder), case, on_trial, {key: m.rules for key, m in left.items()})
        left = {key: mutant for key, mutant in left.items() if key not in odd}
    return Score(name, len(found), list(left.values()), time.monotonic() - began)


def scores(root: Path, names: Sequence[str]) -> Iterator[Score]:
    """The score of each rule as soon as it is known; as many at a time as there are processors.

    What has begun is waited for when the caller stops asking, what has not is left.

    Raises:
        LabError: a case could not be judged.
    """
    # The flame's rules, which look back over days, take longest and have the most mutants: they begin.
    size = {name: len(mutants(name, trial(load_studio("lab"), name).expected)) for name in names}
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        asked = [pool.submit(_score, root, name) for name in sorted(names, key=lambda name: -size[name])]
        for future in as_completed(asked):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
