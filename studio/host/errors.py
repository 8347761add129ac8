"""Why nothing came back from a studio's host."""


class HostProblem(Exception):
    """Something on the way to the host or on it went wrong; `str()` is the message for people."""


class Unreachable(HostProblem):
    """The host cannot be reached, or does not let this account do what is needed."""


class Failed(HostProblem):
    """The host was reached, and the command on it failed with `code`."""

    def __init__(self, message: str, code: int = 1) -> None:
        self.code = code
        super().__init__(message)
