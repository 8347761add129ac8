"""Around every request: its id, HTTPS, the size of its body, its metrics and its log lines. Plain ASGI."""

import time
from collections.abc import Iterable
from typing import Any, Final

import structlog
from starlette.responses import JSONResponse
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.context import RequestContext, current, flush, record
from hub.errors import CutOff, TooBig
from hub.ids import accepted_request_id, new_request_id
from hub.logs import LogWriter
from hub.metrics import METHODS, Metrics

log = structlog.get_logger()
BODY_BYTES: Final = 128 * 1024
PLAIN_HTTP: Final = frozenset({"/healthz", "/readyz"})
USER_AGENT_CHARS: Final = 200


def _clean(text: bytes) -> str | None:
    shown = text[:USER_AGENT_CHARS].decode("latin-1")
    if not shown.isprintable():
        shown = "".join(c for c in shown if c.isprintable())
    return shown or None


def _read(headers: Iterable[tuple[bytes, bytes]]) -> tuple[list[bytes], bytes, bytes, bool]:
    """The request ids, the user agent, the content length, and whether the server sees to it that it holds."""
    ids, user_agent, length, sure, chunked = [], b"", b"0", False, False
    for name, value in headers:
        if name == b"x-request-id":
            ids.append(value)
        elif name == b"user-agent":
            user_agent = value
        elif name == b"content-length":
            length, sure = value, True
        elif name == b"transfer-encoding":
            chunked = True
    return ids, user_agent, length, sure and not chunked


class Ingress:
    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        logs: LogWriter,
        https_only: bool,
        big_bodies: dict[str, int] | None = None,
    ) -> None:
        self._app = app
        self._logs = logs
        self._http = metrics.http
        self._https_only = https_only
        self._big_bodies = big_bodies or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        given, user_agent, length, sure = _read(scope["headers"])
        context = RequestContext(
            request_id=accepted_request_id(given) or new_request_id(),
            ip=scope["client"][0] if scope.get("client") else None,
            user_agent=_clean(user_agent),
        )
        token = current.set(context)
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._finish(scope, context, message["status"], started)
                message["headers"] = [*message.get("headers", []), (b"x-request-id", context.request_id.encode())]
            await send(message)

        try:
            refusal = self._refusal(scope, length)
            if refusal is not None:
                context.route = _wanted(scope)
                await refusal(scope, receive, answer)
            else:
                await self._app(scope, receive if sure else self._bounded(scope, receive), answer)
        except TooBig:
            if not begun:
                await _too_big()(scope, receive, answer)
        except CutOff:
            raise
        except Exception as error:
            log.error("http.error", exc_info=error)
            if begun:
                raise
            await JSONResponse({"code": "error", "detail": "The hub failed; its log says why."}, 500)(
                scope, receive, answer
            )
        finally:
            if not begun:
                self._finish(scope, context, 499, started)
            current.reset(token)

    def _refusal(self, scope: Scope, length: bytes) -> JSONResponse | None:
        if self._https_only and scope["scheme"] != "https" and scope["path"] not in PLAIN_HTTP:
            record("sec.https.enforced", "warning", reason="plain HTTP", token_id=None)
            return JSONResponse({"code": "https_only", "detail": "Use https://; plain HTTP is refused."}, 403)
        if not length.isdigit() or int(length) > self._allowed(scope):
            return _too_big()
        return None

    def _allowed(self, scope: Scope) -> int:
        return self._big_bodies.get(scope["path"], BODY_BYTES)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        left = self._allowed(scope)

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise TooBig
            return message

        return bounded

    def _finish(self, scope: Scope, context: RequestContext, status: int, started: float) -> None:
        latency = (time.perf_counter() - started) * 1000
        route: Any = scope.get("route")
        context.route = context.route or getattr(route, "path", None) or "unmatched"
        context.status_code = status
        context.latency_ms = round(latency, 3)
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        self._http(context.route, method, status, latency)
        if not context.events:
            record("http.request", "debug", method=method)
        flush(context, self._logs)


def _wanted(scope: Scope) -> str | None:
    """The route that is asked for, before it is routed to."""
    routes = scope["app"].router.routes if "app" in scope else ()
    return next((route.path for route in routes if route.matches(scope)[0] is not Match.NONE), None)


def _too_big() -> JSONResponse:
    return JSONResponse({"code": "too_big", "detail": TooBig().detail}, 413)
