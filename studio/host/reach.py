"""Run a command as root on a studio's host: here, or over SSH."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from studio.host.errors import Unreachable
from studio.model import Studio

CONNECT_SECONDS: Final = 10
SECONDS: Final = 120.0
SSH_FAILED: Final = 255
KEY_REFUSED: Final = "Host key verification failed"
KEY_CHANGED: Final = "REMOTE HOST IDENTIFICATION HAS CHANGED"
FIRST: Final = " (for a camera, `studio devices deploy` does so)"
NEEDS_PASSWORD: Final = ("a password is required", "a terminal is required", "not allowed to", "not in the sudoers")


@dataclass(frozen=True)
class Answer:
    """What a command said and its exit code."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "replace")


def target(studio: Studio) -> str:
    """The host as SSH names it: `login@address`, or `this machine`."""
    host = studio.host
    if host.is_local:
        return "this machine"
    return f"{host.login}@{host.address}" if host.login else host.address


def ssh_argv(studio: Studio) -> list[str]:
    """The ssh command up to where the remote command begins; it never asks for anything."""
    options = ["BatchMode=yes", f"ConnectTimeout={CONNECT_SECONDS}", "ServerAliveInterval=5", "ServerAliveCountMax=3"]
    flags = [word for option in options for word in ("-o", option)]
    return ["ssh", *flags, "-p", str(studio.host.port), target(studio), "--"]


def as_root(argv: Sequence[str]) -> str:
    """A shell line that runs a program as root, by sudo when the account is not root's."""
    words = shlex.join(argv)
    return f'if [ "$(id -u)" = 0 ]; then exec {words}; else exec sudo -n -- {words}; fi'


def argv_for(studio: Studio, argv: Sequence[str]) -> list[str]:
    """The command of this machine that runs a command as root on the studio's host."""
    if not studio.host.is_local:
        return [*ssh_argv(studio), as_root(argv)]
    return list(argv) if os.geteuid() == 0 else ["sudo", "-n", "--", *argv]


def run(studio: Studio, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float = SECONDS) -> Answer:
    """Run a command as root on the studio's host; raises Unreachable when it does not even begin."""
    try:
        done = subprocess.run(
            argv_for(studio, argv), input=stdin or b"", capture_output=True, timeout=timeout, check=False
        )
    except FileNotFoundError as error:
        raise Unreachable(f"{studio.name}: {error.filename} is not installed on this machine") from None
    except subprocess.TimeoutExpired:
        what = shlex.join(argv)[:80]
        raise Unreachable(f"{studio.name}: no answer from {target(studio)} within {timeout:g} s to `{what}`") from None
    answer = Answer(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace").strip())
    reached(studio, answer)
    return answer


def check(studio: Studio) -> None:
    """Raise Unreachable unless a command can be run as root on the host."""
    run(studio, ["true"], timeout=2 * CONNECT_SECONDS)


def reached(studio: Studio, answer: Answer) -> None:
    """Raise Unreachable when an answer is ssh's or sudo's own refusal."""
    last = answer.err.splitlines()[-1] if answer.err else "it says nothing"
    if not studio.host.is_local and answer.code == SSH_FAILED:
        log_in = f"ssh{f' -p {studio.host.port}' if studio.host.port != 22 else ''} {target(studio)}"
        if last.startswith(KEY_REFUSED):
            changed = KEY_CHANGED in answer.err
            raise Unreachable(
                f"{studio.name}: {_other_key(studio) if changed else _new_key(studio)}: `{log_in}`{FIRST}"
            )
        raise Unreachable(
            f"{studio.name}: {target(studio)} cannot be reached over SSH: {last}; "
            f"try `{log_in}`, and see host: in its inventory"
        )
    if answer.code != 0 and last.startswith("sudo:") and any(words in last for words in NEEDS_PASSWORD):
        raise Unreachable(
            f"{studio.name}: the account on {target(studio)} may not use sudo without a password ({last}); "
            "log in as root (host.login), or allow it in /etc/sudoers.d"
        )


def _new_key(studio: Studio) -> str:
    return f"the host key of {target(studio)} is not known here; look at it and have it remembered"


def _other_key(studio: Studio) -> str:
    host = studio.host
    entry = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
    return (
        f"{target(studio)} has another host key than the one that is remembered: it was installed anew, or another "
        f"machine answers in its place. If you know that it is the right one: `ssh-keygen -R '{entry}'`, and then"
    )
