"""The HTTP routes, one module a subject."""

from fastapi import APIRouter

from hub.api import apk, device, devices, live, ops, provision, runs, thingsboard, tokens
from hub.settings import Settings


def routers(settings: Settings) -> list[APIRouter]:
    """The routers that these settings switch on."""
    ours = [
        device.router,
        apk.router,
        tokens.router,
        provision.router,
        runs.router,
        thingsboard.router,
        live.router,
        devices.router,
        ops.router,
    ]
    ours += [ops.metrics_router] if settings.metrics else []
    return ours + ([live.docs_router] if settings.docs else [])
