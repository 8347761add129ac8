"""Run commands, show progress, take locks: the lab's few effects that every module needs."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, TypeVar

T = TypeVar("T")
STARTED = time.monotonic()


class LabError(Exception):
    """Something a person must know, in one message, without a traceback."""


def say(text: str) -> None:
    """One progress line on stderr, with the seconds since the start of this command."""
    print(f"lab {time.monotonic() - STARTED:6.1f}s  {text}", file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say that `what` begins, and when it is done how long it took."""
    say(f"{what} ...")
    begin = time.monotonic()
    yield
    say(f"{what}: done in {time.monotonic() - begin:.1f} s")


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
    stdin: str | None = None,
) -> str:
    """Run a command and return its standard output.

    Raises:
        LabError: it failed; the message has the command and the last lines of what it said.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(
            f"{words[0]} is not installed; run: python -m lab build (as root it installs what it needs)"
        ) from error
    if check and done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-25:])
        raise LabError(f"`{' '.join(words)[:300]}` failed with exit code {done.returncode}:\n{tail}")
    return done.stdout


def wait_for(what: str, condition: Callable[[], T], seconds: float = 60, every: float = 0.2) -> T:
    """The first true answer of `condition`; what does not answer (OSError, requests' errors) is asked again.

    Raises:
        LabError: there was none within `seconds`; the message has `what`, and the last answer.
    """
    until = time.monotonic() + seconds
    told: object = None
    while time.monotonic() < until:
        try:
            told = condition()
        except OSError as error:
            told = error
        else:
            if told:
                return told
        time.sleep(every)
    raise LabError(f"not within {seconds:g} s: {what}; in the end: {str(told)[:500]}")


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[TextIO | None]:
    """Hold an exclusive lock on `path` (made when missing); freed when the process ends, however it ends.

    Yields the open file, which a process that inherits it keeps locked; None when `wait` is False and another has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
            return
        yield handle


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Put `text` at `path` whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.chmod(mode)
    temporary.rename(path)
