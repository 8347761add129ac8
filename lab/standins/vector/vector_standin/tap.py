"""`vector tap`: events as they pass, from a running stand-in."""

import http.client
import json
import os
import sys
import time
from argparse import Namespace
from typing import Any
from urllib.parse import urlencode, urlsplit

from vector_standin.api import TAP
from vector_standin.options import DEFAULT_URL, OK, UNAVAILABLE, UNREACHABLE, Parser, at_least, healthy, names

RECONNECT_SECONDS = 5


def parser() -> Parser:
    made = Parser(prog="vector tap", allow_abbrev=False)
    made.add_argument("patterns", nargs="*", metavar="COMPONENT_ID_PATTERNS", help="comma-separated; glob patterns")
    made.add_argument("--outputs-of", action="append", default=[], metavar="PATTERNS")
    made.add_argument("--inputs-of", action="append", default=[], metavar="PATTERNS")
    made.add_argument("--url", "-u", default=DEFAULT_URL)
    made.add_argument("--interval", "-i", type=at_least(100), default=500, help="milliseconds to sample over")
    made.add_argument("--limit", "-l", type=at_least(1), default=100, help="events an interval")
    made.add_argument("--format", "-f", choices=["json"], default="json")
    made.add_argument("--duration-ms", "-d", type=at_least(1))
    made.add_argument("--quiet", "-q", action="store_true", help="events alone")
    made.add_argument("--meta", "-m", action="store_true", help="with the component of each event")
    made.add_argument("--no-reconnect", "-n", action="store_true")
    return made


def main(argv: list[str]) -> int:
    """Until Ctrl-C, or the end of the duration; the exit code."""
    asked = parser().parse_args(argv)
    if not healthy(asked.url):
        print(UNREACHABLE.format(url=asked.url), file=sys.stderr)
        return UNAVAILABLE
    until = None if asked.duration_ms is None else time.monotonic() + asked.duration_ms / 1000
    try:
        while not _listen(asked, until) and not asked.no_reconnect:
            print(f"[tap] Connection failed. Reconnecting in {RECONNECT_SECONDS} seconds.", file=sys.stderr)
            time.sleep(RECONNECT_SECONDS)
    except (KeyboardInterrupt, BrokenPipeError):
        # What is left to be written has no reader.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK


def _listen(asked: Namespace, until: float | None) -> bool:
    """One connection; whether it ended because the time was over."""
    outputs = names([*asked.outputs_of, *asked.patterns])
    inputs = names(asked.inputs_of)
    query = {
        "outputs": outputs if outputs or inputs else ["*"],
        "inputs": inputs,
        "limit": asked.limit,
        "interval": asked.interval,
    }
    parts = urlsplit(asked.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=asked.interval / 1000 + 30)
    try:
        connection.request("GET", f"{TAP}?{urlencode(query, doseq=True)}")
        for line in connection.getresponse():
            if line.strip():
                _show(json.loads(line), asked)
            if until is not None and time.monotonic() >= until:
                return True
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, BrokenPipeError):
            raise
    finally:
        connection.close()
    return False


def _show(said: dict[str, Any], asked: Namespace) -> None:
    if "notification" in said:
        if not asked.quiet:
            print(said["notification"], file=sys.stderr, flush=True)
        return
    shown = said if asked.meta else said["event"]
    print(json.dumps(shown, ensure_ascii=False, separators=(",", ":")), flush=True)
