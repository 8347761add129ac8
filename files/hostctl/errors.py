"""What can go wrong on the host, said once and clearly."""

from typing import Final

FAILED: Final = 1
BAD_INPUT: Final = 2
BUSY: Final = 75


class HostError(Exception):
    """A message for people; `code` is the exit code (1 failed, 2 bad input, 75 another hostctl is at work)."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code
