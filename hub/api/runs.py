"""Commands of the admin; output and results of devices."""

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response, StreamingResponse

from hub import registry
from hub.api.types import Action, Body, DeviceId, Params, RequestId
from hub.auth import AdminOnly
from hub.context import current, record, request_id
from hub.device_auth import DeviceDep
from hub.runs import output, store
from hub.runs.part import ChunkBody, Outcome, ending, told
from hub.runs.whole import whole
from hub.service import HubDep

router = APIRouter(tags=["runs"])


class NewCommand(Body):
    device_id: DeviceId
    action: Action
    params: Params = Field(default_factory=dict)
    protocol: Literal["fcm", "mqtt"] | None = Field(
        None, description="without it: fcm when it is set up and the device has a token"
    )
    timeout_s: float | None = Field(None, ge=0.1, le=86400, allow_inf_nan=False)
    request_id: RequestId | None = Field(
        None, description="makes the command repeatable: the same id is one run. Default: the header X-Request-ID"
    )


class CommandTaken(BaseModel):
    request_id: str
    device_id: str
    status: str
    protocol: str
    created: bool
    error: str | None = Field(description="how the run failed, when it has ended")
    problem: str | None = Field(description="why the command has not left yet; it is tried until the run's time-out")


class ActionResult(Outcome):
    request_id: RequestId


class ResultTaken(BaseModel):
    request_id: str
    status: str
    replayed: bool = Field(description="the run had ended before, so, or by its time-out")


class ChunkTaken(BaseModel):
    request_id: str
    seq: int
    stored: bool = Field(description="false: it was there")


@router.post("/admin/command", dependencies=[AdminOnly], tags=["admin"])
async def command(hub: HubDep, wanted: NewCommand) -> CommandTaken:
    """Send a command to a device. It is on disk before this answers; the run ends with the device's result."""
    await hub.provisioning.states.stored(wanted.device_id)
    context = current.get()
    if context is not None:
        context.request_id = wanted.request_id or context.request_id
        context.alias = await hub.db.read(registry.alias(wanted.device_id))
    about = {"request_id": request_id(), "device_id": wanted.device_id, "action": wanted.action}
    blank: dict[str, Any] = {"fcm_http_code": None, "fcm_status": None, "dispatch_latency_ms": None}
    record("dispatch.request", **about, **blank)
    timeout = wanted.timeout_s or hub.settings.run_timeout
    params = orjson.dumps(wanted.params, option=orjson.OPT_SORT_KEYS).decode()
    made = store.Command(request_id(), wanted.device_id, wanted.action, params, wanted.protocol, int(timeout * 1000))
    run, created = await hub.runner.command(made)
    await hub.runner.dispatched(run["request_id"], hub.settings.dispatch_wait)
    run = await hub.db.read(lambda conn: store.get(conn, made.request_id))
    of_run = {key: run[key] for key in CommandTaken.model_fields if key in run}
    problem = hub.runner.problem(made.request_id) if run["status"] == "queued" else None
    return CommandTaken(**of_run, created=created, problem=problem)


@router.get("/admin/runs", dependencies=[AdminOnly], tags=["admin"])
async def index(hub: HubDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[dict[str, Any]]:
    """The newest runs."""
    return await hub.db.read(store.listed(limit))


@router.get("/admin/runs/{run_id}", dependencies=[AdminOnly], tags=["admin"], response_class=JSONResponse)
async def one_run(hub: HubDep, run_id: RequestId) -> Response:
    """A run with its output."""
    return StreamingResponse(await whole(hub.db, run_id), media_type="application/json")


@router.post("/v1/runs/{run_id}/chunks")
async def chunk(hub: HubDep, device: DeviceDep, run_id: RequestId, body: ChunkBody) -> ChunkTaken:
    """Stream a run's output, a numbered piece at a time."""
    piece = output.Chunk(run_id, device.device_id, body.seq, body.stream, body.data.encode())
    stored = await hub.runner.chunk(piece, hub.settings.run_max_bytes)
    return ChunkTaken(request_id=run_id, seq=body.seq, stored=stored)


@router.post("/v1/action-result")
async def action_result(hub: HubDep, device: DeviceDep, body: ActionResult) -> ResultTaken:
    """End a run. Repeating the same result is fine."""
    run, new = await hub.runner.result(ending(body.request_id, device.device_id, body))
    told(run, body.outcome)
    return ResultTaken(request_id=body.request_id, status=run["status"], replayed=not new)
