"""uvicorn as the hub runs it."""

import asyncio
import socket
import ssl
from typing import Any

import uvicorn

from hub.settings import Settings


class Server(uvicorn.Server):
    """uvicorn, with HTTPS on a port of its own besides; a signal that comes while it starts stops what has started."""

    def __init__(self, config: uvicorn.Config, chosen: Settings) -> None:
        super().__init__(config)
        self._chosen = chosen

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._chosen.tls_port is not None:
            await self._listen_with_tls(self._chosen.tls_port)
        if self.should_exit and self.started:
            await self.shutdown(sockets)

    async def _listen_with_tls(self, port: int) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(str(self._chosen.tls_cert), self._chosen.tls_key)
        protocol: Any = self.config.http_protocol_class

        def connection() -> Any:
            return protocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

        loop = asyncio.get_running_loop()
        listens = await loop.create_server(
            connection, self._chosen.tls_host, port, ssl=context, backlog=self.config.backlog
        )
        self.servers.append(listens)
