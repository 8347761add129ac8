"""The application: its parts started and stopped in order, its routes, its refusals."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from hub import VERSION
from hub.api import routers
from hub.context import record
from hub.device_auth import DeviceMemory, Nonces
from hub.errors import Refused
from hub.ids import now_ms
from hub.lag import measure_lag
from hub.limits import RateLimit
from hub.live.broadcast import Broadcast
from hub.live.part import live
from hub.logs import LogWriter
from hub.metrics import Metrics
from hub.middleware import Ingress
from hub.mqtt import MqttLink
from hub.provision.part import mqtt_link, provisioning
from hub.retention import retention
from hub.runs.part import runs
from hub.service import Hub, Limits
from hub.settings import Settings
from hub.store import Overloaded, Unavailable, open_database
from hub.thingsboard.part import thingsboard

log = structlog.get_logger()
DESCRIPTION = """One service for a studio's devices. Every answer carries `X-Request-ID`; every refusal is
`{"code", "detail"}`: a stable word for programs and a sentence for people."""


@contextlib.asynccontextmanager
async def running_parts(hub: Hub, parts: Sequence[Callable[[Hub], Any]]) -> AsyncIterator[None]:
    """Every part is an async context manager of the hub."""
    async with contextlib.AsyncExitStack() as stack:
        for part in parts:
            await stack.enter_async_context(part(hub))
        yield


def make_app(settings: Settings, logs: LogWriter, metrics: Metrics | None = None) -> FastAPI:
    """The ASGI application; it opens its database when it is started."""
    metrics = metrics or Metrics()
    metrics.watch("hub_log_queue_lines", "Log lines waiting for stdout", lambda: logs.depth)
    metrics.watch("hub_log_dropped_lines", "Log lines dropped since the start", lambda: logs.dropped)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limits = Limits(
            RateLimit(settings.rate_register),
            RateLimit(settings.rate_device),
            RateLimit(settings.rate_login),
            RateLimit(settings.rate_provision),
        )
        db = await open_database(settings.database_url)
        hub = Hub(settings, metrics, logs, limits, db, MqttLink(settings, metrics), Broadcast(now_ms()))
        metrics.watch("hub_database_queue_writes", "Writes waiting for the database", lambda: db.queued)
        app.state.hub = hub
        lag = asyncio.create_task(measure_lag(metrics))
        try:
            async with running_parts(hub, PARTS):
                log.info("hub.started", version=VERSION)
                yield
        finally:
            lag.cancel()
            await db.close()
            log.info("hub.stopped")

    app = FastAPI(
        title="Studio hub",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url="/docs" if settings.docs else None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs else None,
    )
    app.state.nonces = Nonces()
    app.state.device_memory = DeviceMemory()
    for router in routers(settings):
        app.include_router(router)
    _refusals(app)
    app.add_middleware(
        Ingress,
        metrics=metrics,
        https_only=settings.https_only,
        big_bodies={"/admin/apk-builds": settings.apk_max_bytes},
    )
    return app


PARTS: tuple[Callable[[Hub], Any], ...] = (retention, provisioning, runs, thingsboard, live, mqtt_link)


def _refusals(app: FastAPI) -> None:
    def refused(_: Request, error: Any) -> JSONResponse:
        return JSONResponse({"code": error.code, "detail": error.detail}, error.status, headers=error.headers)

    def invalid(request: Request, error: Any) -> JSONResponse:
        fields = [
            {"field": ".".join(str(p) for p in item["loc"]), "problem": item["msg"]} for item in error.errors()[:20]
        ]
        event = FAIL_EVENTS.get(request.url.path)
        if event:
            record(event, "warning", result="invalid request", reason="; ".join(f["field"] for f in fields))
        return JSONResponse({"code": "invalid", "detail": "The request has mistakes.", "fields": fields}, 422)

    def http(_: Request, error: Any) -> JSONResponse:
        return JSONResponse({"code": "http", "detail": str(error.detail)}, error.status_code, headers=error.headers)

    def busy(_: Request, error: Any) -> JSONResponse:
        log.error("database.unavailable", reason=str(error)[:500])
        return JSONResponse(
            {"code": "unavailable", "detail": "The database is not there or too busy; try again."},
            503,
            headers={"Retry-After": "2"},
        )

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Overloaded, busy)
    app.add_exception_handler(Unavailable, busy)


FAIL_EVENTS = {"/v1/register": "register.fail", "/v1/apk/download-latest": "apk.download.fail"}
