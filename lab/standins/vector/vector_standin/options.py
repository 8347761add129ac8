"""What the command lines of `vector` have in common."""

import argparse
import http.client
from collections.abc import Callable, Sequence
from typing import NoReturn
from urllib.parse import urlsplit

OK, CONFIG, UNAVAILABLE, NO_TERMINAL = 0, 78, 69, 74
DEFAULT_URL = "http://127.0.0.1:8686"
UNREACHABLE = """Vector API server isn't reachable ({url}).

Have you enabled the API?

To enable the API, add the following to your Vector config file:

[api]
    enabled = true"""


class Parser(argparse.ArgumentParser):
    """Refuses what it does not know with the exit code of the stand-in."""

    def error(self, message: str) -> NoReturn:
        self.exit(CONFIG, f"vector (stand-in): {message}; this stand-in implements only what --help shows\n")


def at_least(least: int) -> Callable[[str], int]:
    """A whole number not below it."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of {least} or more")
        return int(text)

    return number


def names(patterns: Sequence[str]) -> list[str]:
    """Each of some comma-separated lists."""
    return [name for pattern in patterns for name in pattern.split(",") if name]


def get(url: str, path: str) -> bytes | None:
    """What is at a path of the API; None when nobody answers 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.read() if response.status == http.client.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def healthy(url: str) -> bool:
    return get(url, "/health") is not None
