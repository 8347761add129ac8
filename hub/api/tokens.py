"""The admin's enrolment tokens."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from hub import enrol
from hub.api.types import Body, DeviceId, Done, Line, TokenId
from hub.auth import AdminOnly
from hub.context import record
from hub.ids import iso, last4, new_token, now_ms
from hub.service import HubDep

router = APIRouter(prefix="/admin/tokens", tags=["admin"], dependencies=[AdminOnly])


class NewToken(Body):
    expires_in_s: int = Field(3600, ge=1, le=90 * 86400)
    device_id: DeviceId | None = Field(None, description="only this device; it may then be registered a second time")
    note: Line | None = None


class TokenMade(BaseModel):
    token: str = Field(description="shown this once; only its hash is stored")
    token_id: str
    expires_at: str


@router.post("")
async def create(hub: HubDep, wanted: NewToken) -> TokenMade:
    """Make a one-time enrolment token."""
    token, expires = new_token(), now_ms() + wanted.expires_in_s * 1000
    values = {"device_id": wanted.device_id, "note": wanted.note, "expires_at": expires}
    await hub.db.write(enrol.create_token(token, values))
    record("sec.token.create", reason="admin", token_id=last4(token.id))
    return TokenMade(token=token.text, token_id=token.id, expires_at=iso(expires))


@router.get("")
async def index(hub: HubDep) -> list[dict[str, Any]]:
    """The newest 1,000 tokens, without their secrets. Times are milliseconds since the epoch."""
    return await hub.db.read(enrol.list_tokens(1000))


@router.delete("/{token_id}")
async def revoke(hub: HubDep, token_id: TokenId) -> Done:
    """Revoke a token; a device that was registered with it stays."""
    await hub.db.write(enrol.revoke_token(token_id))
    record("sec.token.revoke", reason="admin", token_id=last4(token_id))
    return Done()
