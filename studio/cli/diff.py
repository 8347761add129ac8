"""studio diff: what a deploy would change on the host."""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from studio.bundle import MANIFEST, Artifact, Bundle
from studio.cli import chosen
from studio.cli.outcome import Exit, Stop
from studio.host import current, hostctl_json
from studio.model import Studio
from studio.render import render

COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@dataclass(frozen=True)
class Change:
    """One file that differs: `added`, `removed` or `changed`, with the lines of its unified diff."""

    path: str
    kind: str
    lines: tuple[str, ...]


def changes(here: Mapping[str, Artifact], wanted: Mapping[str, Artifact]) -> list[Change]:
    """The differences from what is on the host to what is wanted, by path."""
    found = []
    for path in sorted({*here, *wanted} - {MANIFEST}):
        old, new = here.get(path), wanted.get(path)
        if old != new:
            kind = "added" if old is None else "removed" if new is None else "changed"
            found.append(Change(path, kind, tuple(_lines(path, old, new))))
    return found


def _lines(path: str, old: Artifact | None, new: Artifact | None) -> Iterator[str]:
    before, after = _text(old), _text(new)
    if old and new and old.mode != new.mode:
        yield f"mode {old.mode:04o} -> {new.mode:04o}"
    if before is None or after is None:
        yield "binary files differ"
        return
    names = (f"host/{path}" if old else "/dev/null", f"wanted/{path}" if new else "/dev/null")
    yield from difflib.unified_diff(before, after, *names, lineterm="")


def _text(artifact: Artifact | None) -> list[str] | None:
    if artifact is None:
        return []
    if b"\0" in artifact.content:
        return None
    try:
        return artifact.content.decode().splitlines()
    except UnicodeDecodeError:
        return None


def restarts(here: Mapping[str, Artifact], bundle: Bundle) -> list[str]:
    """The services whose inputs differ: those a deploy would restart, start or remove."""
    old = json.loads(here[MANIFEST].content)["components"] if MANIFEST in here else []
    before = {c["name"]: c["hash"] for c in old}
    after = {c["name"]: c["hash"] for c in bundle.manifest["components"]}
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def report(studio: Studio) -> dict[str, Any]:
    """The drift of a studio's host: files, services to restart, and what the host itself finds out of date."""
    bundle = render(studio)
    here = current.files(studio)
    found = changes(here, bundle.files)
    loose = hostctl_json(studio, "status", "--json")["out_of_date"] if here else {}
    return {
        "studio": studio.name,
        "host": json.loads(here[MANIFEST].content)["generation"] if MANIFEST in here else None,
        "wanted": bundle.generation,
        "files": [{"path": c.path, "kind": c.kind, "diff": "\n".join(c.lines)} for c in found],
        "restarts": restarts(here, bundle),
        "out_of_date": loose,
        "drift": bool(found or loose or not here),
    }


def show(told: dict[str, Any]) -> None:
    """The report for people."""
    console = chosen.console()
    for file in told["files"]:
        if told["host"] is None:
            continue
        console.print(Text(f"{file['kind']}: {file['path']}", style="bold"))
        for line in file["diff"].splitlines():
            console.print(Text(line, style=COLOURS.get(line[:1], "")), soft_wrap=True)
    for step, reasons in told["out_of_date"].items():
        for reason in reasons:
            console.print(f"on the host, {step}: {reason}", soft_wrap=True, markup=False)
    if not told["drift"]:
        console.print(f"{told['studio']}: no drift, its host has generation {told['host']}")
    elif told["host"] is None:
        console.print(f"{told['studio']}: nothing is deployed yet; a deploy puts generation {told['wanted']} there")
    else:
        again = ", ".join(told["restarts"]) or "nothing"
        console.print(f"{told['studio']}: {told['host']} -> {told['wanted']}; to be restarted: {again}")


def diff(name: str | None, *, as_json: bool) -> None:
    """Tell the drift; exit code 2 when there is some."""
    told = report(chosen.studio(name))
    print(json.dumps(told, indent=2)) if as_json else show(told)
    if told["drift"]:
        raise Stop(Exit.DRIFT)
