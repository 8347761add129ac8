"""What goes wrong as an answer: always `{"code", "detail"}`, a stable word for programs and a sentence for people."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from hub.context import record
from hub.errors import Refused, TooBig
from hub.store import Overloaded, Unavailable

log = structlog.get_logger()
APK_KEYS: Final = ("build_id", "version_code", "version_name", "build_type", "token_id", "source")
FAIL_EVENTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "/v1/register": ("register.fail", ("token_id",)),
    "/v1/apk/download-latest": ("apk.download.fail", APK_KEYS),
}
"""What is logged of a request that cannot be read, and the event's keys, of which nothing is known then."""
Answer = Callable[[Request, Any], Awaitable[JSONResponse]]


def failure(error: Exception) -> tuple[str, str]:
    """How the log tells that a request failed: the level, error for what is the fault of the hub, and a word."""
    if isinstance(error, Refused):
        return "error" if error.status >= 500 else "warning", error.code
    return "error", "unavailable" if isinstance(error, Overloaded | Unavailable) else "error"


async def _refused(_: Request, error: Refused) -> JSONResponse:
    return JSONResponse({"code": error.code, "detail": error.detail}, error.status, headers=error.headers)


async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    fields = [{"field": ".".join(str(p) for p in item["loc"]), "problem": item["msg"]} for item in error.errors()[:20]]
    if request.url.path in FAIL_EVENTS:
        event, keys = FAIL_EVENTS[request.url.path]
        told = {"result": "invalid request", "reason": "; ".join(f["field"] for f in fields)}
        record(event, "warning", **dict.fromkeys(keys), **told)
    return JSONResponse({"code": "invalid", "detail": "The request has mistakes.", "fields": fields}, 422)


async def _http(_: Request, error: HTTPException) -> JSONResponse:
    return JSONResponse({"code": "http", "detail": str(error.detail)}, error.status_code, headers=error.headers)


async def _too_big(_: Request, error: TooBig) -> JSONResponse:
    return JSONResponse({"code": "too_big", "detail": error.detail}, error.status_code)


async def _busy(_: Request, error: Exception) -> JSONResponse:
    log.error("database.unavailable", reason=str(error)[:500])
    detail = "The database is not there or too busy; try again."
    return JSONResponse({"code": "unavailable", "detail": detail}, 503, headers={"Retry-After": "2"})


ANSWERS: Final[Mapping[type[Exception], Answer]] = {
    Refused: _refused,
    RequestValidationError: _invalid,
    HTTPException: _http,
    TooBig: _too_big,
    Overloaded: _busy,
    Unavailable: _busy,
}


async def answer(request: Request, error: Exception) -> JSONResponse:
    """The answer to an error. Raises the error again when it is none of those that are expected."""
    for kind in type(error).__mro__:
        if kind in ANSWERS:
            return await ANSWERS[kind](request, error)
    raise error
