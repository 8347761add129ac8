"""The hot path: what devices send all the time, answered without FastAPI's router and dependency solver.

FastAPI has the same function as a route, and describes it in the OpenAPI; this stands in front and calls it directly.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.context import current
from hub.device_auth import Device, find_device
from hub.refusals import answer
from hub.service import Hub

Model = TypeVar("Model", bound=BaseModel)
Endpoint = Callable[[Hub, Device, Any], Awaitable[BaseModel]]


class HotRoutes:
    """`endpoints`: what a device's POST to a path calls, and the model of its body."""

    def __init__(self, app: ASGIApp, endpoints: Mapping[str, tuple[Endpoint, type[BaseModel]]]) -> None:
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
        request = Request(scope, receive)
        try:
            content = await _content(request, *found)
        except Exception as error:
            response = await answer(request, error)
            await response(scope, receive, send)
        else:
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": content})


async def _content(request: Request, endpoint: Endpoint, model: type[BaseModel]) -> bytes:
    hub: Hub = request.app.state.hub
    device = await find_device(hub, request)
    taken = await endpoint(hub, device, read(model, request.headers.get("content-type"), await request.body()))
    return taken.model_dump_json().encode()


def read(model: type[Model], content_type: str | None, body: bytes) -> Model:
    """The body of a request. Raises RequestValidationError in FastAPI's form."""
    if (content_type or "").partition(";")[0].strip().lower() != "application/json":
        raise RequestValidationError([{"loc": ("body",), "msg": "Content-Type must be application/json"}])
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in error.errors()]) from None
