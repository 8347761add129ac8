"""Programs of the device, run to their end: within their time, their output taken as it comes, their children ended."""

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable

from agent import durable
from agent.settings import Command

Take = Callable[[bytes], None]
PIECE = 65536
TURN_SECONDS = 0.25
"""A program that prints nothing is looked at so often; `idle` is called then."""
LEFT_SECONDS = 1
"""So long what an ended program left running may go on printing; then its output counts as complete."""


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
    argv, seconds = command
    end = time.monotonic() + seconds
    takers = [stdout] if stderr is None else [stdout, stderr]
    with contextlib.ExitStack() as stack:
        try:
            child, pipes = _started(argv, given, stack, apart=stderr is not None)
        except (OSError, ValueError) as error:
            raise ProgramError(_why_not(argv[0], error)) from error
        try:
            done = _followed(child, list(zip(pipes, takers, strict=True)), end, idle)
        except OSError as error:
            raise ProgramError(_why_not(argv[0], error)) from error
        finally:
            # Also when it ended: what it left running in its group goes with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not done:
        raise ProgramError(f"timeout: killed after {seconds:g} s")
    return code


def _followed(child: int, pipes: list[tuple[int, Take]], end: float, idle: Callable[[], None]) -> bool:
    """Pass the output on until it and the program end, or the time `end` comes; whether the program ended.

    Its own output is complete when it ended; a daemon that keeps it open is not waited for.
    """
    with selectors.DefaultSelector() as selector, open(os.pidfd_open(child), "rb") as over:  # noqa: PTH123 - no path
        selector.register(over, selectors.EVENT_READ)
        for pipe, take in pipes:
            selector.register(pipe, selectors.EVENT_READ, take)
        ended = False
        while selector.get_map() and (left := end - time.monotonic()) > 0:
            ready = selector.select(min(left, TURN_SECONDS))
            for key, _ in ready:
                if key.fileobj is over:
                    selector.unregister(over)
                    ended, end = True, min(end, time.monotonic() + LEFT_SECONDS)
                elif data := os.read(key.fd, PIECE):
                    key.data(data)
                else:
                    selector.unregister(key.fd)
            if not ready:
                idle()
        return ended


def _started(argv: tuple[str, ...], given: bytes, stack: contextlib.ExitStack, *, apart: bool) -> tuple[int, list[int]]:
    """Process id, and where its output can be read (its errors after it when they are `apart`) until `stack` ends.

    By posix_spawn: the module subprocess would take half a megabyte for as long as the agent runs. Raises OSError.
    """
    pipes = []
    with contextlib.ExitStack() as passed_on:
        handles = [os.memfd_create("given")]
        passed_on.callback(os.close, handles[0])
        durable.write_all(handles[0], given)
        os.lseek(handles[0], 0, os.SEEK_SET)
        for _ in range(2 if apart else 1):
            pipe, handle = os.pipe()
            stack.callback(os.close, pipe)
            passed_on.callback(os.close, handle)
            pipes.append(pipe)
            handles.append(handle)
        standard = enumerate((handles[0], handles[1], handles[-1]))
        actions = [(os.POSIX_SPAWN_DUP2, handle, number) for number, handle in standard]
        child = os.posix_spawnp(
            argv[0], argv, os.environ, file_actions=actions, setsid=True, setsigdef=(signal.SIGPIPE, signal.SIGXFSZ)
        )
    return child, pipes


def _why_not(name: str, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"the program {name} is not there"
    if isinstance(error, PermissionError):
        return f"the program {name} may not be run: let the agent's account do so (chmod a+x {name})"
    return f"the program {name} cannot be run: {getattr(error, 'strerror', None) or error}"
