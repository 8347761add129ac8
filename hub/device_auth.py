"""Which device is asking: its token, or a signature that keeps the token's secret off the wire."""

import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple

from fastapi import Depends, Request
from sqlalchemy import Connection, select

from hub.auth import Authorization, address, bearer
from hub.context import current, record
from hub.errors import Refused
from hub.ids import last4, parse_token, same
from hub.service import HubDep
from hub.store import Database
from hub.store.database import Work
from hub.store.tables import devices

SKEW_SECONDS: Final = 300
REMEMBERED: Final = 20_000
MEMORY_SECONDS: Final = 5.0
SCHEME: Final = "Hub-HMAC-SHA256"
LOST: Final = "This needs the device's token; enrol the device again if it was lost."
FORM: Final = f"A signature has the form: {SCHEME} id=..., ts=<epoch s>, nonce=<16 to 64 letters or digits>, sig=<hex>."
_SIGNED: Final = re.compile(
    SCHEME + r" id=([A-Za-z0-9]{12}), ts=(\d{10}), nonce=([A-Za-z0-9]{16,64}), sig=([0-9a-f]{64})\Z"
)


@dataclass(frozen=True, slots=True)
class Device:
    """The device that is asking."""

    device_id: str
    alias: str | None
    kind: str
    site: str | None
    token_id: str


def signature(token_hash: str, request_line: str, stamp: str, body: bytes) -> str:
    """HMAC-SHA256 over a request, keyed with the SHA-256 (hex) of the device's secret; 64 hex digits.

    `request_line` is `POST /v1/heartbeat`, `stamp` is `<timestamp> <nonce>`.
    """
    text = "\n".join([request_line, stamp, hashlib.sha256(body).hexdigest()])
    return hmac.new(token_hash.encode(), text.encode(), "sha256").hexdigest()


class _Known(NamedTuple):
    """What the database says of a token id."""

    device: Device
    token_hash: str
    revoked_at: int | None


def _lookup(token_id: str) -> Work[_Known | None]:
    columns = (devices.c.device_id, devices.c.alias, devices.c.kind, devices.c.site)
    statement = select(*columns, devices.c.token_hash, devices.c.revoked_at).where(devices.c.token_id == token_id)

    def work(conn: Connection) -> _Known | None:
        row = conn.execute(statement).first()
        return _Known(Device(*row[:4], token_id), row[4], row[5]) if row is not None else None

    return work


class DeviceMemory:
    """Devices by their token ids, for seconds only, and forgotten at once when any device changes.

    A row that was read before a change and arrives after it is not kept.
    """

    def __init__(self) -> None:
        self._rows: dict[str, tuple[float, _Known]] = {}
        self._changes = 0

    def forget(self) -> None:
        self._changes += 1
        self._rows.clear()

    def kept(self, token_id: str) -> _Known | None:
        until, known = self._rows.get(token_id, (0.0, None))
        return known if until > time.monotonic() else None

    async def find(self, db: Database, token_id: str) -> _Known | None:
        before = self._changes
        known: _Known | None = await db.read(_lookup(token_id))
        if known is not None and self._changes == before:
            if len(self._rows) >= REMEMBERED:
                self._rows.clear()
            self._rows[token_id] = (time.monotonic() + MEMORY_SECONDS, known)
        return known


def _denied(reason: str, token_id: str | None, event: str = "sec.device.denied", told: str = LOST) -> Refused:
    record(event, "warning", reason=reason, token_id=last4(token_id))
    return Refused(401, "device_only", told)


async def find_device(hub: HubDep, request: Request) -> Device:
    """The device of the request's token or signature. Raises Refused (401 or 429).

    A token's id is no secret: only who has the token uses up what its device may ask, others what their address may.
    """
    try:
        device = await _authenticated(hub, request)
    except Refused as refusal:
        if refusal.status == 401:
            hub.limit("denied", address(request))
        raise
    hub.limit("device", device.token_id)
    context = current.get()
    if context is not None:
        context.device_id, context.alias = device.device_id, device.alias
    return device


async def _authenticated(hub: HubDep, request: Request) -> Device:
    header = request.headers.get("authorization", "")
    signed = None
    if header.startswith(SCHEME):
        signed = _SIGNED.match(header)
        if signed is None:
            raise _denied("malformed signature", None, "sec.hmac.invalid", FORM)
    token = None if signed else parse_token(bearer(header) or "")
    if signed is None and hub.settings.hmac_required:
        told = f"Devices must sign their requests here ({SCHEME})."
        raise _denied("not signed", token.id if token else None, "sec.hmac.invalid", told)
    token_id = signed[1] if signed else token.id if token else ""
    if not token_id:
        raise _denied("no device token", None)
    known = await _known(hub, request, token_id)
    if known is None:
        raise _denied("unknown token", token_id, "sec.hmac.invalid" if signed else "sec.device.denied")
    if signed:
        await _check_signature(hub, request, signed, known.token_hash)
    elif token is None or not same(token.hash, known.token_hash):
        raise _denied("unknown token", token_id)
    if known.revoked_at is not None:
        raise _denied("device revoked", token_id)
    return known.device


async def _known(hub: HubDep, request: Request, token_id: str) -> _Known | None:
    """What the database says; it is not asked for an address that made up too many ids. Raises Refused (429)."""
    memory: DeviceMemory = request.app.state.device_memory
    known = memory.kept(token_id)
    if known is None:
        if not hub.limits.device.knows(token_id):
            hub.limited("denied", address(request))
        known = await memory.find(hub.db, token_id)
    return known


async def _check_signature(hub: HubDep, request: Request, signed: re.Match[str], key: str) -> None:
    token_id, timestamp, nonce, given = signed.groups()
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    made = signature(key, f"{request.method} {target}", f"{timestamp} {nonce}", await request.body())
    if not same(given, made):
        raise _denied("wrong signature", token_id, "sec.hmac.invalid")
    if abs(time.time() - int(timestamp)) > SKEW_SECONDS:
        off = "the device's clock is off by more than 5 minutes"
        raise _denied(off, token_id, "sec.hmac.invalid", f"It is signed well, but {off}; set it and sign anew.")
    hub.limited("device", token_id)
    if not await hub.nonces.store(f"{token_id}:{nonce}"):
        raise _denied("replayed", token_id, "sec.hmac.invalid", "This nonce was used before; sign each request anew.")


async def device(hub: HubDep, request: Request, _: Authorization = None) -> Device:
    """Only a device that is enrolled."""
    return await find_device(hub, request)


DeviceDep = Annotated[Device, Depends(device)]
