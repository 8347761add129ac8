"""`vector top`: the components of a running stand-in with their rates, drawn anew each interval."""

import json
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from vector_standin.api import COMPONENTS
from vector_standin.options import (
    DEFAULT_URL,
    NO_TERMINAL,
    OK,
    UNAVAILABLE,
    UNREACHABLE,
    Parser,
    at_least,
    get,
    healthy,
    names,
)

Components = dict[str, dict[str, Any]]
COLUMNS = ("ID", "Kind", "Type", "Events In", "Bytes In", "Events Out", "Bytes Out", "Errors")
COUNTED = ("events_in", "bytes_in", "events_out", "bytes_out")
ENDS = {"q", "\x1b", "\x03"}
ENTER, LEAVE, HOME = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H\x1b[J"


def parser() -> Parser:
    made = Parser(prog="vector top", allow_abbrev=False)
    made.add_argument("--url", "-u", default=DEFAULT_URL)
    made.add_argument("--interval", "-i", type=at_least(100), default=1000, help="milliseconds")
    made.add_argument("--components", "-c", action="append", metavar="PATTERNS", help="comma-separated; glob patterns")
    made.add_argument("--no-reconnect", "-n", action="store_true")
    return made


def main(argv: list[str]) -> int:
    """Until `q`, Escape or Ctrl-C; the exit code."""
    asked = parser().parse_args(argv)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("Terminal must be a teletype (TTY) to display a Vector dashboard.", file=sys.stderr)
        return NO_TERMINAL
    if not healthy(asked.url):
        print(UNREACHABLE.format(url=asked.url), file=sys.stderr)
        return UNAVAILABLE
    patterns = names(asked.components or ["*"])
    with _screen():
        before: Components = {}
        while True:
            found = get(asked.url, COMPONENTS)
            if found is None and asked.no_reconnect:
                return OK
            now = _wanted(json.loads(found), patterns) if found else {}
            head = f"Vector | {asked.url} | Sampling @ {asked.interval}ms | {'Connected' if found else 'Disconnected'}"
            sys.stdout.write(HOME + "\r\n".join([head, "", *table(before, now, asked.interval / 1000)]))
            sys.stdout.flush()
            before = now
            if _ended(asked.interval / 1000):
                return OK


def _wanted(found: Components, patterns: list[str]) -> Components:
    return {name: own for name, own in found.items() if any(fnmatchcase(name, pattern) for pattern in patterns)}


def table(before: Components, now: Components, seconds: float) -> Iterator[str]:
    """A line a component: what it counted so far, and a second since the last look."""
    yield "  ".join((f"{COLUMNS[0]:20}", f"{COLUMNS[1]:10}", f"{COLUMNS[2]:20}", *(f"{c:>18}" for c in COLUMNS[3:])))
    for name, own in sorted(now.items()):
        rates = {c: (own[c] - before.get(name, own)[c]) / seconds for c in COUNTED}
        cells = [f"{own[c]:.0f} ({rates[c]:.4g}/s)" if own[c] else "N/A" for c in COUNTED]
        figures = (f"{cell:>18}" for cell in [*cells, f"{own['errors']:.0f}"])
        yield "  ".join((f"{name:20}", f"{own['kind']:10}", f"{own['type']:20}", *figures))


@contextmanager
def _screen() -> Iterator[None]:
    """The terminal's other screen, keys as they are pressed; all as before in the end."""
    saved = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    sys.stdout.write(ENTER)
    try:
        yield
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)


def _ended(seconds: float) -> bool:
    """Wait so long; was a key pressed that ends it?"""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], left)[0] and sys.stdin.read(1) in ENDS:
            return True
    return False
