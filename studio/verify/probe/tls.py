"""The TLS listener as a device sees it."""

import socket
import ssl
import time
from typing import Any

CA = "/var/lib/sensor-pipeline/state/tls/ca.crt"
SECONDS = 15
# CONNECT of MQTT 3.1.1 without an account, client id "verify".
CONNECT = bytes([0x10, 18, 0, 4, *b"MQTT", 4, 2, 0, 10, 0, 6, *b"verify"])


def ask(port: int, name: str) -> dict[str, Any]:
    """Whether our CA vouches for the listener's certificate under `name`, how long, and what plain MQTT gets."""
    told: dict[str, Any] = {"error": None, "days_left": None, "version": None}
    try:
        context = ssl.create_default_context(cafile=CA)
        with (
            socket.create_connection(("127.0.0.1", port), SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            certificate = secured.getpeercert() or {}
            told["version"] = secured.version()
            ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
            told["days_left"] = round((ends - time.time()) / 86400, 1)
    except (OSError, ValueError, KeyError) as error:
        told["error"] = str(error)
    told["stranger"] = _other_ca(port, name)
    told["plain"] = _plain(port)
    return told


def _other_ca(port: int, name: str) -> str:
    """What a client says that trusts the usual authorities only: they must not vouch for it."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), SECONDS) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=name),
        ):
            return "trusted"
    except (OSError, ValueError) as error:
        return str(error)


def _plain(port: int) -> str:
    """What MQTT without TLS gets: `refused`, `no connection: why`, or the first byte of an answer in hex."""
    try:
        plain = socket.create_connection(("127.0.0.1", port), SECONDS)
    except OSError as error:
        return f"no connection: {error}"
    with plain:
        plain.settimeout(SECONDS)
        try:
            plain.sendall(CONNECT)
            answer = plain.recv(1)
        except OSError:
            return "refused"
    # A TLS alert (0x15) is a refusal; 0x20 would be MQTT's CONNACK.
    return "refused" if answer in (b"", b"\x15") else answer.hex()
