"""What can go wrong, each kind with its own exit code and with what to do about it."""

import errno
from pathlib import Path
from typing import ClassVar

LONGEST = 2000
"""Characters of a message that are kept; `check` tells all of them."""


class AgentError(Exception):
    """A failure for people: `message` says what was wrong and where, `advice` what to do.

    `kind` is the word in logs and in the status file; `exit_code` is what the process ends with.
    """

    kind: ClassVar[str] = "unexpected"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.logged = False

    def __str__(self) -> str:
        return f"{self.message}. {self.advice}"

    @property
    def told(self) -> dict[str, str | int]:
        """As it stands in logs and in the status file; not endless, however many faults a file has."""
        message = self.message if len(self.message) <= LONGEST else f"{self.message[:LONGEST]}…"
        return {"kind": self.kind, "message": message, "advice": self.advice, "exit_code": self.exit_code}


class InputError(AgentError):
    """A file that people write is missing or wrong; `problems` has every fault found in it, not just the first."""

    kind = "input"
    exit_code = 3

    def __init__(self, problems: list[str], advice: str) -> None:
        super().__init__("; ".join(problems), advice)
        self.problems = problems


class RefusedError(AgentError):
    """The server answered, and the answer was no."""

    kind = "refused"
    exit_code = 4


class UnreachableError(AgentError):
    """The network or the server did not do its part in time: the only kind that is tried again."""

    kind = "unreachable"
    exit_code = 5


class DiskError(AgentError):
    """The disk is full or broken."""

    kind = "disk"
    exit_code = 6


class PermissionsError(AgentError):
    """A file or folder may not be read or written as it has to be."""

    kind = "permissions"
    exit_code = 7


class BusyError(AgentError):
    """Another agent works in the same folder."""

    kind = "busy"
    exit_code = 8


class UntrustedError(AgentError):
    """The server's certificate does not prove that it is the server."""

    kind = "untrusted"
    exit_code = 9


READING = "read it"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FORBIDDEN = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def of_os(error: OSError, path: Path, doing: str) -> AgentError:
    """The error for people behind an OSError met while `doing` something with a file."""
    told = f"{path}: cannot {doing}: {error.strerror or error}"
    if error.errno in FULL:
        return DiskError(told, f"Free some space on the disk that holds {path.parent}; nothing was lost")
    if error.errno == errno.EROFS:
        return PermissionsError(told, f"Mount the disk that holds {path.parent} read-write")
    if error.errno in FORBIDDEN and doing == READING:
        return PermissionsError(told, f"Let the agent's account read {path} (chown it to that account)")
    if error.errno in FORBIDDEN:
        return PermissionsError(told, f"Let the agent's account write in {path.parent} (chown it to that account)")
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EEXIST):
        return InputError([told], f"Look at what {path} is and put the right kind of file or folder there")
    return DiskError(told, f"Check the disk that holds {path.parent}; nothing was lost")
