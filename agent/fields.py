"""The fields of a JSON object that people wrote: every fault is collected, with an example of how it should be."""

import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent import durable
from agent.errors import AgentError
from agent.mqtt import Endpoint, trust_problem
from agent.strictjson import kind

PORTS = {"mqtt": 1883, "mqtts": 8883}
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
LARGEST_FILE = 1 << 20
"""Bytes; all of a system's authorities are a quarter of it."""


class Fields:
    """One object under inspection; `problems` grows, nothing is raised, so that all faults are told at once."""

    def __init__(self, name: str, values: Mapping[str, Any], problems: list[str] | None = None) -> None:
        self.name = name
        self.values = values
        self.problems: list[str] = [] if problems is None else problems

    def fault(self, key: str, what: str, example: str) -> None:
        self.problems.append(f'{self.name}: "{key}" {what}, as in {example}')

    def text(self, key: str, example: str, *, required: bool = False, limit: int = 255) -> str | None:
        """A text of one line without blanks at its ends, or None when it is left out."""
        if key not in self.values:
            if required:
                self.fault(key, "is missing: give it", example)
            return None
        value = self.values[key]
        if not isinstance(value, str):
            self.fault(key, f"must be text, it is {kind(value)}: write it", example)
        elif not value.strip():
            self.fault(key, "is empty: give it", example)
        elif any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in value):
            self.fault(key, "has a line break or another control character: write it", example)
        elif value != value.strip():
            self.fault(key, "has blanks at its ends: write it", example)
        elif len(value.encode()) > limit:
            self.fault(key, f"is longer than {limit} bytes: write it", example)
        else:
            return value
        return None

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """One of the choices, the first when it is left out."""
        value = self.text(key, f'"{choices[0]}"')
        if value is not None and value not in choices:
            self.fault(key, "must be one of " + ", ".join(choices), f'"{choices[0]}"')
        return value if value in choices else choices[0]

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            self.fault(key, f"must be true or false, it is {kind(value)}", "false")
        return value is True

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """A number within its limits, both included."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fault(key, f"must be a number, it is {kind(value)}", f"{default:g}")
            return default
        if not low <= value <= high:
            self.fault(key, f"must be between {low:g} and {high:.10g}", f"{default:g}")
            return default
        return float(value)

    def part(self, key: str) -> "Fields":
        """The object under a key (empty when left out); it shares this one's list of problems."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            self.fault(key, f"must be an object in braces, it is {kind(value)}", "{}")
            value = {}
        return Fields(f"{self.name}: {key}" if ":" not in self.name else f"{self.name}.{key}", value, self.problems)

    def server(self, key: str, *, required: bool) -> tuple[str, int, bool] | None:
        """Host, port and whether TLS is spoken, of a URL."""
        example = '"mqtts://hub.local:8883"'
        value = self.text(key, example, required=required)
        if value is None:
            return None
        try:
            url = urllib.parse.urlsplit(value)
            port = PORTS.get(url.scheme) if url.port is None else url.port
            host = url.hostname
        except ValueError:
            self.fault(key, "is not a URL with a host and a port from 1 to 65535: write it", example)
            return None
        if url.scheme not in PORTS:
            self.fault(key, "must begin with mqtts:// (TLS) or mqtt://", example)
        elif not port:
            self.fault(key, "names no port from 1 to 65535: write it", example)
        elif not host or any(c.isspace() or not c.isprintable() for c in host):
            self.fault(key, "names no host: write it", example)
        elif url.username or url.password or url.path not in ("", "/") or url.query or url.fragment:
            self.fault(key, "must have nothing but host and port: write it", example)
        elif url.scheme == "mqtt" and host not in LOOPBACK and not self.values.get("allow_plaintext"):
            self.fault(
                key,
                f"would send secrets to {host} unencrypted: use mqtts://, or set allow_plaintext to true if the "
                "network is yours alone",
                example,
            )
        else:
            return host, port, url.scheme == "mqtts"
        return None

    def file(self, key: str, folder: Path, example: str, *, required: bool = False) -> Path | None:
        """A file named relative to the agent's folder, or absolute; it must be readable, and no pipe or device."""
        value = self.text(key, example, required=required)
        if value is None:
            return None
        path = folder / value
        try:
            whole = len(durable.read(path, LARGEST_FILE)) <= LARGEST_FILE
        except FileNotFoundError:
            self.fault(key, f"names a file that cannot be read ({path}: it is not there): name one", example)
        except AgentError as error:
            self.fault(key, f"names a file that cannot be read ({error.message}): name one", example)
        else:
            if whole:
                return path
            self.fault(key, f"names a file larger than {LARGEST_FILE} bytes ({path}): name one", example)
        return None

    def endpoint(self, place: tuple[str, int, bool] | None, folder: Path, *, with_certificate: bool) -> Endpoint | None:
        """Where to connect and how the server and the device prove who they are."""
        authority = self.file("ca_certificate", folder, '"ca.crt"')
        certificate = self.file("certificate", folder, '"device.crt"', required=with_certificate)
        private_key = self.file("private_key", folder, '"device.key"', required=with_certificate)
        if place is None:
            return None
        endpoint = Endpoint(*place, authority, certificate, private_key)
        if with_certificate and not endpoint.tls:
            self.problems.append(f"{self.name}: an X.509 certificate needs TLS, as in mqtts://hub.local:8883")
        elif problem := trust_problem(endpoint):
            self.problems.append(f"{self.name}: {problem}")
        return endpoint

    def nothing_else(self, known: tuple[str, ...]) -> None:
        """Every key that is not known is a fault: it is a typing error, or a wish that would be ignored silently."""
        for key in self.values:
            if key not in known:
                import difflib  # only when it is needed: an idle agent is small

                near = difflib.get_close_matches(_plain(key), known, 1, 0.6)
                hint = f'did you mean "{near[0]}"?' if near else f"the fields are {', '.join(known)}"
                self.problems.append(f'{self.name}: "{key[:60]}" is not a field here; {hint}')


def _plain(key: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in key).replace("-", "_")
