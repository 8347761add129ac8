"""What a device calls: register and heartbeat."""

from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from hub import enrol, registry
from hub.api.types import Body, Count, DeviceId, FcmToken, Kind, Line, RequestId, Site, TokenText, Word
from hub.auth import address, bearer, token_denied
from hub.context import current, record, request_id
from hub.device_auth import DeviceDep, find_device
from hub.errors import Refused
from hub.heartbeat import Heartbeat
from hub.hot import Hot
from hub.ids import last4, new_token, parse_token
from hub.refusals import failure
from hub.service import HubDep

router = APIRouter(prefix="/v1", tags=["devices"])


class Register(Body):
    device_id: DeviceId
    token: TokenText | None = Field(None, description="the enrolment token; or `Authorization: Bearer <token>`")
    device_token: TokenText | None = Field(
        None,
        description="a token `<12 letters or digits>.<secret of at least 20 characters>` that the device made and "
        "stored first: then a registration whose answer was lost can be repeated. Without it the hub makes one.",
    )
    kind: Kind | None = Field(None, description="default: what it was known as before, or tablet")
    alias: Line | None = None
    site: Site | None = None
    fcm_token: FcmToken | None = None


class Registered(BaseModel):
    device_id: str
    device_token: str
    created: bool
    request_id: str


class Beat(Body):
    status: Word
    battery_pct: int | None = Field(None, ge=0, le=100)
    network_type: Word | None = None
    uptime_s: Count | None = None
    heartbeat_id: RequestId | None = Field(None, description="the same id is stored once, however often it is sent")
    fcm_token: FcmToken | None = None


class BeatTaken(BaseModel):
    ok: bool = True
    dedup: bool
    request_id: str


@router.post("/register", responses={401: {"description": "the token is not taken"}, 409: {"description": "exists"}})
async def register(hub: HubDep, wanted: Register, request: Request) -> Registered:
    """Exchange a one-time enrolment token for the device's own token."""
    given = wanted.token or bearer(request.headers.get("authorization")) or ""
    token = parse_token(given)
    about: dict[str, Any] = {"device_id": wanted.device_id, "token_id": last4(token.id if token else None)}
    record("register.request", "debug", **about, result=None)
    try:
        hub.limit("register", address(request))
        await _named(hub, wanted)
        own = parse_token(wanted.device_token) if wanted.device_token is not None else new_token()
        if own is None:
            raise Refused(422, "invalid", "device_token must be <12 letters or digits>.<at least 20 characters>.")
        chosen = wanted.device_token is not None
        registration = enrol.Registration(
            wanted.device_id, own, chosen, wanted.kind, wanted.alias, wanted.site, wanted.fcm_token
        )
        await hub.provisioning.states.stored(wanted.device_id)
        created = await hub.db.write(enrol.register(token, registration))
    except enrol.TokenRefused as error:
        token_denied(error)
        record("register.fail", "warning", **about, result=error.reason)
        raise error.answer() from None
    except Exception as error:
        level, reason = failure(error)
        record("register.fail", level, **about, result=reason)
        raise
    request.app.state.device_memory.forget()
    if created:
        hub.provisioning.states.admit(wanted.device_id)
        if wanted.kind is not None:  # the rights of its broker account, when it has one, are of its kind
            await hub.accounts.publish()
        record("sec.token.consume", reason="register", token_id=about["token_id"])
    record("register.success", **about, result="created" if created else "repeated")
    return Registered(device_id=wanted.device_id, device_token=own.text, created=created, request_id=request_id())


async def _named(hub: HubDep, wanted: Register) -> None:
    """The request's lines have the alias that the device brings, or had before."""
    context = current.get()
    if context is not None:
        context.alias = wanted.alias or await hub.db.read(registry.alias(wanted.device_id))


@router.post("/heartbeat")
async def beat(hub: HubDep, device: DeviceDep, sent: Beat) -> BeatTaken:
    """Say that the device lives. What was answered with success is stored."""
    taken = Heartbeat(device_id=device.device_id, request_id=request_id(), **sent.__dict__)
    fresh = await hub.heartbeats.store(taken)
    (hub.metrics.heartbeats if fresh else hub.metrics.heartbeat_dedups).inc()
    record(
        "heartbeat.ingest" if fresh else "heartbeat.dedup",
        status=sent.status,
        battery_pct=sent.battery_pct,
        network_type=sent.network_type,
        uptime_s=sent.uptime_s,
    )
    return BeatTaken(dedup=not fresh, request_id=taken.request_id)


HOT: Final = {"/v1/heartbeat": Hot(find_device, beat, Beat)}
