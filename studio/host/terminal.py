"""Run a command as root on a studio's host with this terminal: it is seen and typed to as if it ran here."""

import subprocess
import sys
from collections.abc import Sequence

from studio.host.errors import Unreachable
from studio.host.reach import SSH_FAILED, argv_for, target
from studio.model import Studio


def has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def attach(studio: Studio, argv: Sequence[str]) -> int:
    """The command's exit code; Ctrl-C ends the command, not this program. Raises Unreachable when SSH fails.

    Without a terminal the command's standard input is empty, and ends when the command is to end.
    """
    words = argv_for(studio, argv)
    seen = has_terminal()
    if seen and not studio.host.is_local:
        words.insert(1, "-t")
    try:
        with subprocess.Popen(words, stdin=None if seen else subprocess.PIPE) as process:
            code = process.wait()
    except FileNotFoundError as error:
        raise Unreachable(f"{studio.name}: {error.filename} is not installed on this machine") from None
    except KeyboardInterrupt:
        return 0
    if code == SSH_FAILED and not studio.host.is_local:
        raise Unreachable(f"{studio.name}: the connection to {target(studio)} over SSH failed or ended")
    return code
