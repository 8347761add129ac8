"""Programs of the device, run to their end: within their time, their output taken as it comes, their children ended."""

import contextlib
import os
import signal
import time
from collections.abc import Callable

from agent.settings import Command

Take = Callable[[bytes], None]
PIECE = 65536
TURN_SECONDS = 0.25
"""A program that prints nothing is looked at so often; `idle` is called then."""


class ProgramError(Exception):
    """The program could not be run to its end; the message is for people."""


def run(
    command: Command,
    stdout: Take,
    *,
    stderr: Take | None = None,
    given: bytes = b"",
    idle: Callable[[], None] = lambda: None,
) -> int:
    """The program's exit code, negative for a signal.

    It reads `given` from its standard input. Without `stderr` its errors are part of its output. At its time limit, or
    when a taker raises, it is killed with its children. Raises ProgramError, and what a taker raises.
    """
    import selectors  # here, because an agent whose source is a file never runs a program
    import subprocess

    argv, seconds = command
    end = time.monotonic() + seconds
    errors = subprocess.STDOUT if stderr is None else subprocess.PIPE
    try:
        with open(os.memfd_create("given"), "w+b") as standard_input:  # noqa: PTH123 - it has no path
            standard_input.write(given)
            standard_input.seek(0)
            child = subprocess.Popen(
                argv, stdin=standard_input, stdout=subprocess.PIPE, stderr=errors, bufsize=0, start_new_session=True
            )
    except (OSError, ValueError) as error:
        raise ProgramError(_why_not(argv[0], error)) from error
    with child, selectors.DefaultSelector() as selector:
        for pipe, take in ((child.stdout, stdout), (child.stderr, stderr)):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, take)
        try:
            while (left := end - time.monotonic()) > 0:
                if not selector.get_map():
                    return child.wait(left)
                ready = selector.select(min(left, TURN_SECONDS))
                for key, _ in ready:
                    if data := os.read(key.fd, PIECE):
                        key.data(data)
                    else:
                        selector.unregister(key.fileobj)
                if not ready:
                    idle()
        except subprocess.TimeoutExpired:
            pass
        finally:
            # Also when it ended: what it left running would hold its output open.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    raise ProgramError(f"timeout: killed after {seconds:g} s")


def _why_not(name: str, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"the program {name} is not there"
    if isinstance(error, PermissionError):
        return f"the program {name} may not be run: let the agent's account do so (chmod a+x {name})"
    return f"the program {name} cannot be run: {getattr(error, 'strerror', None) or error}"
