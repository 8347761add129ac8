"""Whether the hub can listen where its settings say: found out, and said in a line each, before anything is done."""

import contextlib
import os
import socket

from hub.cli_support import fail
from hub.settings import Settings


def can_listen(chosen: Settings) -> None:
    """Raises typer.Exit, with a line for each port that cannot be had."""
    asked = {
        "HUB_PORT": (chosen.host, chosen.port),
        "HUB_TLS_PORT": (chosen.tls_host, chosen.tls_port),
        "HUB_PROVISION_PORT": (chosen.provision_host, chosen.provision_port),
    }
    wrong = []
    for name, (host, port) in asked.items():
        try:
            if port is not None:
                _bind(host, port)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            wrong.append(f"{name} ({host}:{port}): {why}")
    if wrong:
        raise fail("it cannot listen:\n" + "\n".join(wrong))


def _bind(host: str, port: int) -> None:
    """As asyncio does it. Raises OSError."""
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        with contextlib.closing(socket.socket(family, kind, protocol)) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            tried.bind(address)
            tried.listen(1)
