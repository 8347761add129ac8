"""studio tap, studio top: Vector's own commands, in its container on the studio's host."""

import signal
from collections.abc import Sequence
from typing import Any, Final

from studio.cli import chosen, tap_names
from studio.cli.outcome import Exit, Stop
from studio.host import hostctl_json
from studio.host.terminal import attach, has_terminal
from studio.model import Studio
from studio.render.vector_component import NAME, PROGRAM

AS_ACCOUNT: Final = (
    'cd / && exec runuser -u "$0" -- env HOME="$(getent passwd "$0" | cut -d: -f6)" '
    'XDG_RUNTIME_DIR="/run/user/$(id -u "$0")" podman exec "$@"'
)
"""Podman of the account that owns the containers; `$0` is its name."""
WHILE_READ: Final = (
    'exec 3<&0; "$@" </dev/null 3<&- & work=$!; '
    '{ while read -r _; do :; done <&3; kill "$work"; } >/dev/null 2>&1 & watch=$!; '
    'wait "$work"; code=$?; kill "$watch" 2>/dev/null; exit "$code"'
)
"""Ends a command in the container when its standard input ends: without a terminal nothing else tells it of Ctrl-C."""
ENDED: Final = {0, Exit.INTERRUPTED, 128 + signal.SIGPIPE, -signal.SIGPIPE}
"""Ctrl-C is how both are ended, or a reader who has seen enough (`| head`)."""


def argv(studio: Studio, command: str, arguments: Sequence[str], *, terminal: bool) -> list[str]:
    """What runs on the host, as root."""
    flags = ["--interactive", "--tty"] if terminal else ["--interactive"]
    within = [] if terminal else ["sh", "-c", WHILE_READ, "sh"]
    url = f"http://127.0.0.1:{studio.ports.vector_api}"
    words = [*flags, NAME, *within, PROGRAM, command, "--url", url, *arguments]
    return ["sh", "-c", AS_ACCOUNT, studio.host.user, *words]


def _running(studio: Studio) -> None:
    """Raises Stop unless Vector runs."""
    components: list[dict[str, Any]] = hostctl_json(studio, "status", "--json")["components"]
    vector = next((c for c in components if c["name"] == NAME), None)
    if vector is None or vector["state"] != "active":
        state = vector["state"] if vector else "not deployed"
        raise Stop(
            Exit.FAILED,
            f"{studio.name}: Vector is not running ({state}): see `studio status {studio.name}`, and on the host "
            f"`journalctl _SYSTEMD_USER_UNIT={NAME}.service`",
        )


def vector(command: str, name: str | None, arguments: Sequence[str]) -> None:
    """Run `vector COMMAND ARGUMENTS` in Vector's container until it ends, or Ctrl-C."""
    studio = chosen.studio(name)
    terminal = has_terminal()
    if command == "top" and not terminal:
        raise Stop(Exit.BAD_INPUT, "studio top draws on a terminal, and this is none; studio tap works in a pipe")
    if wrong := tap_names.unknown(studio, command, arguments):
        raise Stop(Exit.BAD_INPUT, f"{studio.name}: {wrong}")
    _running(studio)
    code = attach(studio, argv(studio, command, arguments, terminal=terminal))
    if code not in ENDED:
        raise Stop(Exit.FAILED, f"{studio.name}: `vector {command}` ended with exit code {code}")
