"""The hot path: what devices send all the time, or all at once, answered without FastAPI's router and solver.

FastAPI has the same function as a route, and describes it in the OpenAPI; this stands in front and calls it directly.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.context import current
from hub.refusals import answer
from hub.service import Hub

Model = TypeVar("Model", bound=BaseModel)


class Hot(NamedTuple):
    """`endpoint(hub, caller, body)` answers; `caller` says who asks, and is asked before the body is looked at."""

    caller: Callable[[Hub, Request], Awaitable[Any]]
    endpoint: Callable[[Hub, Any, Any], Awaitable[BaseModel]]
    body: type[BaseModel]


class _Headers(Headers):
    """Decoded once; of several with a name the first counts, as with Starlette."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        super().__init__(raw=raw)
        self._first = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(raw)}

    def get(self, key: str, default: Any = None) -> Any:
        return self._first.get(key.lower(), default)


class _Request(Request):
    """Starlette's, whose headers and body cost less."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self._own_headers = _Headers(scope["headers"])
        self._content: bytes | None = None

    @property
    def headers(self) -> Headers:
        return self._own_headers

    async def body(self) -> bytes:
        if self._content is None:
            parts, more = [], True
            while more:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                parts.append(message.get("body", b""))
                more = message.get("more_body", False)
            self._content = b"".join(parts)
        return self._content


class HotRoutes:
    """`endpoints`: what a POST to a path calls."""

    def __init__(self, app: ASGIApp, endpoints: Mapping[str, Hot]) -> None:
        self._app = app
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._endpoints.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        context = current.get()
        if context is not None:
            context.route = scope["path"]
        request = _Request(scope, receive)
        try:
            content = await _content(request, found)
        except Exception as error:
            response = await answer(request, error)
            await response(scope, receive, send)
        else:
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": content})


async def _content(request: Request, hot: Hot) -> bytes:
    hub: Hub = request.app.state.hub
    caller = await hot.caller(hub, request)
    body = read(hot.body, request.headers.get("content-type"), await request.body())
    taken = await hot.endpoint(hub, caller, body)
    return taken.model_dump_json().encode()


def read(model: type[Model], content_type: str | None, body: bytes) -> Model:
    """The body of a request. Raises RequestValidationError in FastAPI's form."""
    if (content_type or "").partition(";")[0].strip().lower() != "application/json":
        raise RequestValidationError([{"loc": ("body",), "msg": "Content-Type must be application/json"}])
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in error.errors()]) from None
