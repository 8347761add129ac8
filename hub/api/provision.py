"""Waiting for a device to come online."""

import asyncio
import time
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from hub import enrol
from hub.api.types import Body, DeviceId
from hub.auth import Authorization, enrolment_token, is_admin, refuse_admin, token_denied
from hub.errors import Refused
from hub.hot import Hot
from hub.provision.events import ProvisionEvents
from hub.provision.waits import Stopping, TooManyWaits, Waiter, about
from hub.service import HubDep

FULL: Final = {"Retry-After": "5", "Connection": "close"}
"""A connection that stays open takes as much memory as a wait."""


class WaitFor(Body):
    method: Literal["ble", "softap"] = Field(description="how the device is being provisioned")
    timeout: float = Field(60, gt=0, le=600, description="seconds", allow_inf_nan=False)
    require_fresh: bool = Field(True, description="only a message sent after the wait began; not one that was retained")
    device_id: DeviceId | None = Field(None, description="without it any device will do")


class Waited(BaseModel):
    status: Literal["success", "cached", "timeout"]
    device_id: str | None
    elapsed: float
    fresh: bool
    problem: str | None = Field(
        default=None, description="with `timeout`: why no device could be heard; then it says nothing of the device"
    )


async def _may_wait(hub: HubDep, request: Request, _: Authorization = None) -> Request:
    """The request of the admin, or of an app that holds an enrolment token. Raises Refused (401)."""
    if is_admin(hub, request):
        return request
    token = enrolment_token(request)
    if token is not None:
        hub.limit("provision", request.client.host if request.client else "-")
        try:
            await hub.db.read(lambda conn: enrol.check_token(conn, token))
            return request
        except enrol.TokenRefused as error:
            token_denied(error)
            raise error.answer() from None
    raise refuse_admin(hub, request)


router = APIRouter(prefix="/provision", tags=["provisioning"], dependencies=[Depends(_may_wait)])


@router.post("/wait")
async def wait(hub: HubDep, request: Request, wanted: WaitFor) -> Waited:
    """Wait until a device reports its state (MQTT), at most `timeout` seconds."""
    return await _wait(hub, request, wanted)


@router.get("/wait")
async def wait_get(hub: HubDep, request: Request, wanted: Annotated[WaitFor, Query()]) -> Waited:
    """The same, with the parameters in the address."""
    return await _wait(hub, request, wanted)


async def _wait(hub: HubDep, request: Request, wanted: WaitFor) -> Waited:
    waits, events = hub.provisioning.waits, hub.provisioning.events
    try:
        waiter = waits.begin(wanted.method, wanted.timeout, wanted.require_fresh, wanted.device_id)
    except TooManyWaits:
        raise Refused(503, "too_many_waits", "Too many waits are in progress.", FULL) from None
    except Stopping:
        raise _stopping() from None
    fields = dict(about(waiter))
    try:
        events.wait_start(fields)
        known = None if wanted.require_fresh else waits.known(wanted.device_id)
        if known is not None:
            events.wait_cached(known.device_id, fields, waiter.started - known.at)
            return Waited(status="cached", device_id=known.device_id, elapsed=0.0, fresh=False)
        answer = await _answered(request, waiter, events, fields)
        return answer.model_copy(update={"problem": _deaf(hub)}) if answer.status == "timeout" else answer
    finally:
        waits.end(waiter)


async def _answered(request: Request, waiter: Waiter, events: ProvisionEvents, fields: dict[str, Any]) -> Waited:
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        wanted: set[asyncio.Future[Any]] = {waiter.answer, gone}
        await asyncio.wait(wanted, timeout=waiter.timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
    elapsed = time.monotonic() - waiter.started
    if waiter.answer.cancelled():
        raise _stopping()
    if waiter.answer.done():
        seen = waiter.answer.result()
        events.wait_success(seen.device_id, waiter.method, elapsed, not seen.retained)
        return Waited(status="success", device_id=seen.device_id, elapsed=round(elapsed, 3), fresh=not seen.retained)
    if gone.done() and not gone.cancelled():
        events.wait_forgotten(waiter.method)
        raise Refused(499, "disconnected", "The asker went away.")
    events.wait_timeout(fields, elapsed)
    return Waited(status="timeout", device_id=waiter.device_id, elapsed=round(elapsed, 3), fresh=False)


def _deaf(hub: HubDep) -> str | None:
    """Why devices cannot be heard now."""
    return hub.problems.get("mqtt") if hub.settings.mqtt_url else "no broker is set up (HUB_MQTT_URL)"


def _stopping() -> Refused:
    return Refused(503, "stopping", "The hub stops, or starts anew; ask again.", {"Retry-After": "5"})


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


HOT: Final = {"/provision/wait": Hot(_may_wait, _wait, WaitFor)}
