"""uvicorn as the hub runs it."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from hub.errors import CutOff
from hub.settings import Settings
from hub.stopping import Deadline


def _unless_expected(record: logging.LogRecord) -> bool:
    """Requests and streams that are cut off because the hub stops are no errors; how many they are is told."""
    if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
        return False
    if str(record.msg).startswith("Cancel %s running"):
        record.levelno = logging.WARNING
    return not str(record.msg).startswith("ASGI callable returned without completing")


def _unless_told(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], CutOff))


class Server(uvicorn.Server):
    """uvicorn, with HTTPS on a port of its own besides; a signal that comes while it starts stops what has started.

    From the signal on the time runs in which the process ends. `stopping` is called before requests are waited for.
    """

    def __init__(
        self, config: uvicorn.Config, chosen: Settings, deadline: Deadline, stopping: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._chosen = chosen
        self._deadline = deadline
        self._stopping = stopping
        logging.getLogger("uvicorn.error").addFilter(_unless_told)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._deadline.begin()
        logging.getLogger("uvicorn.error").addFilter(_unless_expected)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)

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
