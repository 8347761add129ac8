"""The application: its parts started and stopped in order, its routes, its refusals."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import structlog
from fastapi import FastAPI

from hub import VERSION
from hub.api import device, provision, routers
from hub.apk_files import ApkFiles
from hub.device_auth import DeviceMemory
from hub.heartbeat import Heartbeats
from hub.hot import HotRoutes
from hub.ids import now_ms
from hub.lag import measure_lag
from hub.limits import RateLimit
from hub.live.broadcast import Broadcast
from hub.live.part import live
from hub.logs import LogWriter
from hub.metrics import Metrics
from hub.middleware import Ingress
from hub.mqtt import MqttLink
from hub.nonces import Nonces
from hub.provision.part import mqtt_link, provisioning
from hub.refusals import ANSWERS
from hub.retention import retention
from hub.runs.part import runs
from hub.service import Hub, Limits
from hub.settings import Settings
from hub.stopping import in_time, stops_in_time
from hub.store import open_database
from hub.store.watched import Watched
from hub.thingsboard.part import thingsboard

log = structlog.get_logger()
DESCRIPTION = """One service for a studio's devices. Every answer carries `X-Request-ID`; every refusal is
`{"code", "detail"}`: a stable word for programs and a sentence for people."""


@contextlib.asynccontextmanager
async def running_parts(hub: Hub, parts: Sequence[Callable[[Hub], Any]]) -> AsyncIterator[None]:
    """Every part is an async context manager of the hub."""
    async with contextlib.AsyncExitStack() as stack:
        for part in parts:
            await stack.enter_async_context(stops_in_time(part.__name__, part(hub)))
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
            RateLimit(settings.rate_device),
            RateLimit(settings.rate_login),
            RateLimit(settings.rate_provision),
        )
        problems: dict[str, str] = {}
        db = Watched(await open_database(settings.database_url), problems)
        hub = Hub(settings, metrics, logs, limits, db, MqttLink(settings, metrics), Broadcast(now_ms()), problems)
        metrics.watch("hub_database_queue_writes", "Writes waiting for the database", lambda: db.queued)
        hub.nonces = Nonces(db)
        hub.apk_files = ApkFiles(settings.apk_dir, db)
        hub.heartbeats = Heartbeats(db, settings.heartbeat_dedup_seconds * 1000)
        app.state.hub = hub
        lag = asyncio.create_task(measure_lag(metrics))
        try:
            async with running_parts(hub, PARTS):
                log.info("hub.started", version=VERSION)
                yield
        finally:
            lag.cancel()
            await in_time("database", db.close())
            log.info("hub.stopped")

    app = FastAPI(
        title="Studio hub",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        openapi_url="/openapi.json" if settings.docs else None,
    )
    app.state.device_memory = DeviceMemory()
    for router in routers(settings):
        # Flat: routers that are asked one after the other cost every request 0.1 ms more.
        app.router.routes.extend(router.routes)
    for kind, answer in ANSWERS.items():
        app.add_exception_handler(kind, answer)
    app.add_middleware(HotRoutes, endpoints=device.HOT | provision.HOT)
    app.add_middleware(
        Ingress,
        metrics=metrics,
        logs=logs,
        https_only=settings.https_only,
        big_bodies={"/admin/apk-builds": settings.apk_max_bytes},
    )
    return app


PARTS: tuple[Callable[[Hub], Any], ...] = (retention, provisioning, runs, thingsboard, live, mqtt_link)
