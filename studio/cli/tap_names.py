"""Which of Vector's components the arguments of `studio tap` and `studio top` mean: a name that is none is told here.

Vector itself would wait for ever for a component of that name.
"""

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Final

from studio.model import Studio
from studio.render.vector import config

WITH_VALUE: Final = {
    "tap": (("-i", "--interval"), ("-u", "--url"), ("-l", "--limit"), ("-f", "--format"), ("-d", "--duration-ms")),
    "top": (
        ("-i", "--interval"),
        ("-u", "--url"),
        ("-s", "--sort-field"),
        ("-f", "--filter-value"),
        ("--filter-field",),
    ),
}
"""Vector's options that are followed by a value, which is no component."""


def unknown(studio: Studio, command: str, arguments: Sequence[str]) -> str | None:
    """What is wrong with the names in the arguments, for people; None when nothing is."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    for flags in WITH_VALUE[command]:
        parser.add_argument(*flags, dest="other")
    named = ("--outputs-of", "--inputs-of") if command == "tap" else ("--components", "-c")
    for flag in named:
        parser.add_argument(flag, action="append", default=[])
    try:
        given, rest = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError:
        # Vector says it better, and knows more.
        return None
    parts = config(studio)
    if command == "top":
        everything = [name for section in ("sources", "transforms", "sinks") for name in parts[section]]
        return _wrong("component", [*given.components, *given.c], everything)
    plain = [word for word in rest if not word.startswith("-")]
    readers = [*parts["transforms"], *parts["sinks"]]
    return _wrong("component with an output", [*given.outputs_of, *plain], outputs(parts)) or _wrong(
        "component with inputs", given.inputs_of, readers
    )


def outputs(parts: dict[str, Any]) -> list[str]:
    """The names under which Vector's tap knows what comes out of sources and transforms."""
    found = list(parts["sources"])
    for name, transform in parts["transforms"].items():
        if transform["type"] == "route":
            found += [f"{name}.{route}" for route in (*transform["route"], "_unmatched")]
        else:
            found += [name, *([f"{name}.dropped"] if transform.get("reroute_dropped") else [])]
    return found


def _wrong(what: str, lists: Iterable[str], known: Sequence[str]) -> str | None:
    for pattern in (name for given in lists for name in given.split(",") if name):
        if not any(fnmatchcase(name, pattern) for name in known):
            near = get_close_matches(pattern, known, 1)
            hint = f"did you mean {near[0]}? There are" if near else "there are"
            return f"Vector has no {what} {pattern!r}; {hint}: {', '.join(known)}"
    return None
