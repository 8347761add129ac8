"""The live page, its login and its streams."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Form, Header, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from hub.api.types import TokenText
from hub.auth import (
    COOKIE,
    SESSION_SECONDS,
    AdminOnly,
    address,
    cross_site,
    is_admin,
    refuse_admin,
    session_cookie,
    session_end,
    session_is_good,
)
from hub.context import record
from hub.errors import CutOff, Refused
from hub.ids import same
from hub.live.broadcast import RESET
from hub.live.view import view
from hub.service import Hub, HubDep

router = APIRouter(tags=["live page"])
docs_router = APIRouter()
FOLDER: Final = Path(__file__).parent.parent / "page"
SCRIPTS: Final = ("page.js", "dom.js", "output.js", "furnaces.js", "chart.js", "docs.js")
ASSETS: Final = dict.fromkeys(SCRIPTS, "text/javascript") | {"page.css": "text/css"}
PING_SECONDS: Final = 15
SEND_SECONDS: Final = 10
MOST_PAGES: Final = 1000
SECURITY: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def _has_session(hub: Hub, request: Request) -> bool:
    token = hub.settings.admin_token.get_secret_value()
    return session_is_good(token, request.cookies.get(COOKIE), time.time())


def _html(name: str) -> HTMLResponse:
    return HTMLResponse((FOLDER / name).read_text("utf-8"), headers=SECURITY)


def _not_logged_in(refused: Refused) -> HTMLResponse:
    shown = (FOLDER / "denied.html").read_text("utf-8").replace("TOLD", refused.detail)
    return HTMLResponse(shown, refused.status, headers={**SECURITY, **refused.headers})


@router.get("/", include_in_schema=False)
async def page(hub: HubDep, request: Request) -> Response:
    if not _has_session(hub, request):
        return RedirectResponse("/login", 303, headers=SECURITY)
    return _html("page.html")


@router.get("/login", include_in_schema=False)
async def login_form() -> Response:
    return _html("login.html")


@docs_router.get("/docs", include_in_schema=False)
async def docs() -> Response:
    """The OpenAPI for people; all that it needs is here."""
    return _html("docs.html")


@router.get("/static/{name}", include_in_schema=False)
async def asset(name: str) -> Response:
    """Only the files that are named here."""
    if name not in ASSETS:
        raise Refused(404, "not_found", "There is no such file.")
    return FileResponse(FOLDER / name, media_type=ASSETS[name], headers={**SECURITY, "cache-control": "no-cache"})


@router.post(
    "/login",
    responses={
        303: {"description": "logged in"},
        401: {"description": "wrong token"},
        429: {"description": "too often, says how long to wait"},
    },
)
async def login(hub: HubDep, request: Request, token: Annotated[TokenText, Form()]) -> Response:
    """Log in to the page with the admin token; sets a session cookie for twelve hours."""
    if cross_site(request) or not same(token.strip(), hub.settings.admin_token.get_secret_value()):
        record("sec.admin.denied", "warning", reason="wrong token at login", token_id=None)
        try:
            hub.limit("login", address(request))
        except Refused as often:
            return _not_logged_in(often)
        return _not_logged_in(Refused(401, "wrong_token", "This is not the admin token."))
    record("admin.login")
    answer = RedirectResponse("/", 303, headers=SECURITY)
    cookie = session_cookie(hub.settings.admin_token.get_secret_value(), time.time())
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, cookie, SESSION_SECONDS, httponly=True, samesite="strict", secure=secure)
    return answer


@router.post("/logout", responses={303: {"description": "logged out, or was not logged in"}})
async def logout(hub: HubDep, request: Request) -> Response:
    """Forget the session of this browser."""
    if cross_site(request):
        raise refuse_admin(hub, request)
    answer = RedirectResponse("/login", 303, headers=SECURITY)
    if is_admin(hub, request):
        answer.delete_cookie(COOKIE)
    return answer


@router.get("/live/view", dependencies=[AdminOnly], response_class=JSONResponse)
async def live_view(hub: HubDep) -> Response:
    """All that the page shows but the furnaces."""
    made = orjson.dumps(await view(hub), option=orjson.OPT_NON_STR_KEYS)
    return Response(made, media_type="application/json")


@router.get("/live/furnaces", dependencies=[AdminOnly])
async def live_furnaces(hub: HubDep) -> dict[str, Any]:
    """The furnaces' last 24 hours, their limits, and the seconds since the last sample."""
    return await hub.outside.furnaces()


Count = Annotated[int | None, Query(ge=0, le=2**53)]
Mounted = Annotated[float | None, Query(ge=0, le=600, allow_inf_nan=False)]


@router.get("/live/events", dependencies=[AdminOnly], response_class=EventSourceResponse)
async def events(
    hub: HubDep,
    request: Request,
    last_id: Count = None,
    mounted_s: Mounted = None,
    last_event_id: Annotated[str | None, Header(max_length=32)] = None,
) -> EventSourceResponse:
    """What happens, as server-sent events: run, chunk, changed, reset. Resumes after Last-Event-ID.

    It ends with the session of the page that asks.
    """
    began, until = time.perf_counter(), session_end(request)
    if hub.live.pages >= MOST_PAGES:
        raise Refused(503, "too_many_pages", "Too many pages are open.", {"Retry-After": "30"})
    if mounted_s is not None:
        hub.metrics.live_mount.observe(mounted_s)
    given = last_event_id if last_event_id and last_event_id.isascii() and last_event_id.isdigit() else None

    async def stream() -> AsyncIterator[ServerSentEvent]:
        joined = hub.live.join(int(given) if given else last_id)
        hub.metrics.live_connect.observe(time.perf_counter() - began)
        try:
            yield ServerSentEvent(comment="connected", retry=2000)
            while until is None or time.time() < until:
                async with asyncio.timeout(None if until is None else until - time.time()):
                    event = await joined.queue.get()
                if event.kind == RESET:
                    hub.metrics.live_errors.labels("reset").inc()
                yield ServerSentEvent(id=str(event.id), event=event.kind, data=event.data)
        except TimeoutError:
            pass
        finally:
            hub.live.leave(joined)

    return _Events(hub, _counted(hub, stream()))


class _Events(EventSourceResponse):
    """A stream of events. A page that has stopped reading (its phone left the house) is cut off: an everyday thing."""

    def __init__(self, hub: Hub, stream: AsyncIterator[ServerSentEvent]) -> None:
        headers = {"cache-control": "no-store"}
        super().__init__(stream, ping=PING_SECONDS, send_timeout=SEND_SECONDS, headers=headers)
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        slow = False
        try:
            await super().__call__(scope, receive, send)
        except* SendTimeoutError:
            slow = True
        if slow:
            self._hub.metrics.live_errors.labels("slow").inc()
            record("live.slow", seconds=SEND_SECONDS)
            raise CutOff


async def _counted(hub: Hub, stream: AsyncIterator[ServerSentEvent]) -> AsyncIterator[ServerSentEvent]:
    try:
        async for event in stream:
            yield event
    except Exception:
        hub.metrics.live_errors.labels("broken").inc()
        raise
