"""Where a request comes from when a proxy on this machine says so: uvicorn's, but an address must be one."""

import ipaddress
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

TRUSTED: Final = "127.0.0.1"


class Forwarded:
    """X-Forwarded-For and -Proto count from this machine only; what is no IP address is as if it were not there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._proxied: Any = ProxyHeadersMiddleware(self._checked, TRUSTED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["hub.peer"] = scope.get("client")
        await self._proxied(scope, receive, send)

    async def _checked(self, scope: Any, receive: Any, send: Any) -> None:
        peer = scope["hub.peer"]
        if scope.get("client") is not peer and not _is_address(scope["client"][0]):
            scope["client"] = peer
        await self._app(scope, receive, send)


def _is_address(text: str) -> bool:
    """A zone (fe80::1%eth0) may be any text, and says nothing outside of the machine that has it."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text
