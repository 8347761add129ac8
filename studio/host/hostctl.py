"""Ask or tell the hostctl of the generation that is in use on a studio's host."""

import json
from collections.abc import Sequence
from typing import Any, Final

from studio.host.errors import Failed
from studio.host.reach import SECONDS, Answer, run
from studio.model import Studio
from studio.paths import HOST_CURRENT

PROGRAM: Final = str(HOST_CURRENT / "bin" / "hostctl")
ABSENT: Final = 97
IF_THERE: Final = f'test -x "$0" || exit {ABSENT}; exec "$@"'


def run_deployed(
    studio: Studio, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float = SECONDS
) -> Answer:
    """Run a command as root on the host of a studio that is deployed; raises Failed when it is not."""
    answer = run(studio, ["sh", "-c", IF_THERE, PROGRAM, *argv], stdin=stdin, timeout=timeout)
    if answer.code == ABSENT:
        raise Failed(f"{studio.name}: nothing is deployed on its host yet: studio deploy {studio.name}")
    return answer


def hostctl(studio: Studio, *arguments: str, stdin: bytes | None = None, timeout: float = SECONDS) -> bytes:
    """What `hostctl ARGUMENTS` says on the host; raises Failed with its message and exit code."""
    answer = run_deployed(studio, [PROGRAM, *arguments], stdin=stdin, timeout=timeout)
    if answer.code:
        raise Failed(f"{studio.name}: {answer.err.removeprefix('hostctl: ') or answer.text.strip()}", answer.code)
    return answer.out


def hostctl_json(studio: Studio, *arguments: str) -> Any:
    """What hostctl says, as JSON values."""
    said = hostctl(studio, *arguments)
    try:
        return json.loads(said)
    except ValueError:
        raise Failed(f"{studio.name}: hostctl {' '.join(arguments)} answered no JSON: {said[:200]!r}") from None
