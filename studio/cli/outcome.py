"""How a command ends: its exit code, and what it says about an expected error."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command."""

    FINE = 0
    FAILED = 1
    BAD_INPUT = 2
    DRIFT = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


class Stop(Exception):
    """End the command with an exit code; the message, if there is one, goes to standard error."""

    def __init__(self, code: int, message: str = "") -> None:
        self.code = code
        super().__init__(message)
