"""The admin's devices."""

from typing import Any

from fastapi import APIRouter, Request

from hub import registry
from hub.api.types import Body, DeviceId, Done, Line, Site
from hub.auth import AdminOnly
from hub.context import record
from hub.ids import last4
from hub.service import HubDep

router = APIRouter(prefix="/admin/devices", tags=["admin"], dependencies=[AdminOnly])


class Change(Body):
    alias: Line | None = None
    site: Site | None = None


@router.get("")
async def index(hub: HubDep, after: DeviceId | None = None) -> list[dict[str, Any]]:
    """Up to 1,000 devices in the order of their ids; `after` goes on. Times are milliseconds since the epoch."""
    return await hub.db.read(registry.listed(1000, after or ""))


@router.patch("/{device_id}")
async def change(hub: HubDep, request: Request, device_id: DeviceId, wanted: Change) -> dict[str, Any]:
    """Give a device an alias or a site; null takes it away, a field that is not there stays."""
    values = wanted.model_dump(exclude_unset=True)
    await hub.provisioning.states.stored(device_id)
    changed = await hub.db.write(registry.change(device_id, values))
    request.app.state.device_memory.forget()
    record("admin.device.change", device_id=device_id, alias=changed["alias"])
    return changed


@router.delete("/{device_id}")
async def revoke(hub: HubDep, request: Request, device_id: DeviceId) -> Done:
    """Revoke a device: its token and its broker account are good no more. What it sent stays."""
    await hub.provisioning.states.stored(device_id)
    token_id = await hub.db.write(registry.revoke(device_id))
    request.app.state.device_memory.forget()
    hub.provisioning.states.revoke(device_id)
    await hub.accounts.publish()
    record("sec.token.revoke", reason="device revoked", token_id=last4(token_id), device_id=device_id)
    return Done()
