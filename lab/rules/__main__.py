"""`python -m lab.rules [RULE...]`: how many mutants of the alert rules do their cases catch?"""

import argparse
import sys

from lab.plain import parts
from lab.rules.score import GOAL, Score, scores, share
from lab.run import LabError, say
from studio.render.catalogue import entries


def _tell(score: Score, known: int, rules: int) -> None:
    say(f"{known} of {rules}: {score.rule}, {score.caught} of {score.mutants} caught in {score.seconds:.1f} s")
    for mutant in score.survivors:
        print(f"survived: {mutant.rule}, {mutant.change}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.rules", description=__doc__)
    parser.add_argument("rules", nargs="*", metavar="RULE", help="default: all")
    args = parser.parse_args()
    if unknown := sorted(set(args.rules) - set(entries())):
        parser.error(f"no such rule: {', '.join(unknown)}")
    names = list(dict.fromkeys(args.rules)) or list(entries())
    found: list[Score] = []
    try:
        for score in scores(parts.build_root(), names):
            found.append(score)
            _tell(score, len(found), len(names))
    except KeyboardInterrupt:
        print(f"interrupted: {len(names) - len(found)} of {len(names)} rules were not judged", file=sys.stderr)
    except LabError as error:
        print(f"lab.rules: {error}", file=sys.stderr)
        return 1
    caught, asked = sum(s.caught for s in found), sum(s.mutants for s in found)
    print(f"{caught} of {asked} mutants of {len(found)} rules caught: {share(found):.1%}")
    return 0 if len(found) == len(names) and share(found) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
