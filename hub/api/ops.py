"""Health, metrics and the level of the log."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from hub.auth import AdminOnly, MetricsReader
from hub.context import record
from hub.logs import set_level
from hub.metrics import CONTENT_TYPE
from hub.service import HubDep
from hub.store.watched import PART, TROUBLE

router = APIRouter(tags=["operations"])
metrics_router = APIRouter(tags=["operations"])


class LogLevel(BaseModel):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers. No login."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "The database takes no writes"}})
async def readyz(hub: HubDep) -> JSONResponse:
    """The database takes writes; what else is wrong is listed but does not make the hub unready. No login."""
    if await hub.db.writable():
        return JSONResponse({"status": "ok", "problems": hub.problems})
    return JSONResponse({"status": "unavailable", "problems": {PART: TROUBLE} | hub.problems}, 503)


@metrics_router.get("/metrics", dependencies=[MetricsReader], response_class=Response)
async def metrics(hub: HubDep) -> Response:
    """Every counter, in Prometheus' text format."""
    record("metrics.scrape", "debug")
    return Response(hub.metrics.exposition() + hub.metrics.process(), media_type=CONTENT_TYPE)


@router.put("/admin/log-level", dependencies=[AdminOnly])
async def log_level(hub: HubDep, wanted: LogLevel) -> LogLevel:
    """Change the level of the log until the next restart."""
    set_level(hub.logs, wanted.level)
    record("admin.log_level", "warning", wanted_level=wanted.level)
    return wanted
