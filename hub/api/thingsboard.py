"""ThingsBoard's provisioning over HTTP, and the admin's provision keys."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from hub.api.types import Body, DeviceId, Done, Kind, Line, Site, Word
from hub.auth import AdminOnly
from hub.context import record, request_id
from hub.ids import digest, last4
from hub.service import HubDep
from hub.thingsboard import store
from hub.thingsboard.provision import provision
from hub.thingsboard.request import random_text

router = APIRouter()


class NewKey(Body):
    kind: Kind = "camera"
    site: Site | None = None
    note: Line | None = None


class KeyMade(BaseModel):
    key: str
    secret: str = Field(description="shown this once; only its hash is stored")


def new_key() -> KeyMade:
    return KeyMade(key=random_text(20), secret=random_text(40))


@router.post(
    "/api/v1/provision",
    tags=["provisioning"],
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"type": "object", "required": ["provisionDeviceKey", "provisionDeviceSecret"]}
                }
            },
        }
    },
)
async def ask(hub: HubDep, request: Request) -> dict[str, Any]:
    """ThingsBoard's HTTP provisioning: always status 200; `status` in the answer says how it went."""
    peer = request.client.host if request.client else "-"
    return await provision(hub, await request.body(), "http", peer, request_id())


@router.post("/admin/provision-keys", tags=["admin"], dependencies=[AdminOnly])
async def create(hub: HubDep, wanted: NewKey) -> KeyMade:
    """Make a provision key: what devices that ask with it are, and where."""
    made = new_key()
    await hub.db.write(store.create_key(made.key, digest(made.secret), wanted.kind, wanted.site, wanted.note))
    record("sec.token.create", reason="provision key", token_id=last4(made.key))
    return made


@router.get("/admin/provision-keys", tags=["admin"], dependencies=[AdminOnly])
async def index(hub: HubDep) -> list[dict[str, Any]]:
    """The keys, without their secrets."""
    return await hub.db.read(store.list_keys())


@router.delete("/admin/provision-keys/{key}", tags=["admin"], dependencies=[AdminOnly])
async def revoke(hub: HubDep, key: Word) -> Done:
    """Revoke a key; devices that were provisioned with it stay."""
    await hub.db.write(store.revoke_key(key))
    record("sec.token.revoke", reason="provision key", token_id=last4(key))
    return Done()


@router.delete("/admin/devices/{device_id}/credentials", tags=["admin"], dependencies=[AdminOnly])
async def forget(hub: HubDep, request: Request, device_id: DeviceId) -> Done:
    """Let a device (new hardware, a lost token) provision itself anew; its old account and device token end."""
    token_id = await hub.db.write(store.forget(device_id))
    request.app.state.device_memory.forget()
    hub.provisioning.states.admit(device_id)
    await hub.accounts.publish()
    record("sec.token.revoke", reason="credentials taken back", token_id=last4(token_id), device_id=device_id)
    return Done()


@router.get("/admin/provision-audit", tags=["admin"], dependencies=[AdminOnly])
async def audit(hub: HubDep) -> list[dict[str, Any]]:
    """The newest 1,000 refusals."""
    return await hub.db.read(store.list_audit())
