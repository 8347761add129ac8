"""`python -m lab.rules [RULE...] [--every N]`: how many mutants of the alert rules do their cases catch?"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from lab.plain import parts
from lab.rules.cases import cases
from lab.rules.mutants import Mutant, mutants
from lab.rules.tool import judge, trial
from lab.run import LabError
from studio.model import load_studio
from studio.render.catalogue import entries

GOAL = 0.9


def caught(root: Path, mutant: Mutant) -> bool:
    """Whether a case of its rule comes out otherwise than for the rule itself."""
    on_trial = replace(trial(load_studio("lab"), mutant.rule), rules=mutant.rules)
    with tempfile.TemporaryDirectory() as folder:
        return not judge(root, Path(folder), cases()[mutant.rule], on_trial).passed


def survivors(root: Path, found: Sequence[Mutant]) -> list[Mutant]:
    """The mutants that no case tells from their rule."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        told = pool.map(lambda mutant: caught(root, mutant), found)
        return [mutant for mutant, is_caught in zip(found, told, strict=True) if not is_caught]


def every_mutant(names: Sequence[str]) -> list[Mutant]:
    studio = load_studio("lab")
    return [mutant for name in names for mutant in mutants(name, trial(studio, name).expected)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.rules", description=__doc__)
    parser.add_argument("rules", nargs="*", metavar="RULE", help="default: all")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth mutant")
    args = parser.parse_args()
    if unknown := sorted(set(args.rules) - set(entries())):
        parser.error(f"no such rule: {', '.join(unknown)}")
    found = every_mutant(args.rules or list(entries()))[:: args.every]
    try:
        left = survivors(parts.build_root(), found)
    except LabError as error:
        print(f"lab.rules: {error}", file=sys.stderr)
        return 1
    for mutant in left:
        print(f"survived: {mutant.rule}, {mutant.change}")
    score = 1 - len(left) / len(found)
    print(f"{len(found) - len(left)} of {len(found)} mutants caught: {score:.1%}")
    return 0 if score >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
