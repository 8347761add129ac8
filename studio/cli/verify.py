"""studio verify: the checks on the host, as a table or as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from studio.cli import chosen
from studio.cli.outcome import Exit, Stop
from studio.host import reach

if TYPE_CHECKING:
    from studio.verify.run import Result

COLOURS = {"ok": "green", "failed": "red", "waiting": "yellow"}


def rows(results: Sequence["Result"]) -> list[tuple[str, str, str, str]]:
    """Group, check, outcome, detail: subjects about which it says the same are one row."""
    found: list[tuple[str, str, str, str]] = []
    for group, check in dict.fromkeys((r.group, r.check) for r in results):
        same = [r for r in results if (r.group, r.check) == (group, check)]
        fine = [r.subject for r in same if r.outcome == "ok"]
        if fine:
            found.append((group, check, "ok", ", ".join(filter(None, fine))))
        for outcome, detail in dict.fromkeys((r.outcome, r.detail) for r in same if r.outcome != "ok"):
            subjects = [r.subject for r in same if (r.outcome, r.detail) == (outcome, detail) and r.subject]
            found.append((group, check, outcome, ": ".join(filter(None, [", ".join(subjects), detail]))))
    return found


def show(console: Console, studio: str, results: Sequence["Result"]) -> None:
    """The results for people."""
    table = Table("", "check", "result", "detail", box=None, header_style="bold")
    before = ""
    for group, check, outcome, detail in rows(results):
        colour = COLOURS[outcome]
        table.add_row(group if group != before else "", check, f"[{colour}]{outcome}[/{colour}]", escape(detail))
        before = group
    console.print(table)
    count = {o: sum(r.outcome == o for r in results) for o in COLOURS}
    waiting = f", {count['waiting']} waiting" if count["waiting"] else ""
    console.print(f"\n{studio}: {count['ok']} checks ok, {count['failed']} failed{waiting}")


def verify(name: str | None, only: str | None, *, as_json: bool) -> None:
    """Run the checks; exit code 1 when one failed."""
    from studio.verify.ask import NoFacts
    from studio.verify.run import NothingDeployed
    from studio.verify.run import verify as run

    studio = chosen.studio(name)
    reach.check(studio)
    try:
        results = run(studio, only)
    except NoFacts as error:
        raise Stop(Exit.UNREACHABLE, str(error)) from None
    except NothingDeployed as error:
        raise Stop(Exit.FAILED, str(error)) from None
    if not results:
        raise Stop(Exit.BAD_INPUT, f"no check has {only!r} in its name")
    if as_json:
        print(json.dumps({"studio": studio.name, "results": [asdict(r) for r in results]}, indent=2))
    else:
        show(chosen.console(), studio.name, results)
    if any(r.outcome == "failed" for r in results):
        raise Stop(Exit.FAILED)
