"""`python -m bench [NAME...] [--json]`: what a studio costs, beside its peers."""

import argparse
import sys

from bench import agent, dashboards, deploy, hub, render, rules, table
from bench.table import Row
from lab.can_boot import why_not
from lab.run import LabError

TITLES = {
    "render": "Rendering",
    "deploy": "Deploying, on a lab host",
    "agent": "The device agent",
    "hub": "The hub",
    "dashboards": "Dashboards, queries of one studio's data",
    "rules": "The alert rules",
}


def measured(name: str, rounds: int) -> list[Row]:
    """The rows of one benchmark."""
    if name == "deploy":
        if reason := why_not():
            raise LabError(f"no host can be booted here: {reason}")
        return deploy.measure(rounds)
    if name == "rules":
        return rules.measure(rounds)
    if name == "hub":
        return hub.run()
    if name == "dashboards":
        return dashboards.measure()
    return render.measure() if name == "render" else agent.measure()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="*", choices=[*TITLES], default=None, help="default: all")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs (default: 5)")
    args = parser.parse_args()
    failed = False
    try:
        for name in args.what or TITLES:
            rows = measured(name, args.rounds)
            table.show(TITLES[name], rows, as_json=args.json)
            failed |= any(row.value == table.FAILED for row in rows)
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
