"""Refusals: an HTTP status, a message for a person, and what to do."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException


class Refused(Exception):
    """An answer other than success. `code` is a short stable word for programs, `detail` a sentence for people."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


class TooBig(HTTPException):
    """The body is larger than the route takes. FastAPI, which reads it, lets an HTTPException pass as it is."""

    def __init__(self) -> None:
        super().__init__(413, "The body is larger than this route takes.")


class CutOff(Exception):
    """The connection is to be closed in the middle of an answer; why has been counted and logged already."""


def not_found(what: str, name: str) -> Refused:
    return Refused(404, "not_found", f"There is no {what} {name!r}.")
