"""The files and command lines of a plain studio, and what the containers' paths become (nobody else knows that)."""

import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hostctl import broker, credentials
from lab.plain import parts
from lab.ports import free_ports
from studio.model import Studio
from studio.model.hub import Hub
from studio.model.loader import load_studio
from studio.model.services import Ports
from studio.paths import ROOT
from studio.render import components
from studio.render.accounts import accounts
from studio.render.component import Component

PROGRAMS: Final = {
    "victoriametrics": "usr/bin/victoria-metrics",
    "vmalert": "usr/bin/vmalert",
    "alertmanager": "usr/bin/prometheus-alertmanager",
    "mosquitto": "usr/sbin/mosquitto",
    "node_exporter": "usr/bin/prometheus-node-exporter",
    "vector": "usr/bin/python3",
}
STANDIN: Final = ROOT / "lab/standins/vector"
RECORDER: Final = ROOT / "lab/standins/irm_recorder.py"
WEBHOOK: Final = "http://127.0.0.1:{port}/oncall/integrations/v1/alertmanager/{token}/"
TOKENS: Final = {"shop": "shop-of-the-lab", "system": "system-of-the-lab", "heartbeat": "watchdog-of-the-lab/heartbeat"}


def plain_studio() -> Studio:
    """The lab's studio with what plain processes can have: free ports, Mosquitto, loopback, no hub."""
    ports = Ports(**dict(zip(Ports.model_fields, free_ports(len(Ports.model_fields)), strict=True)))
    changes = {"ports": ports, "broker": "mosquitto", "network": None, "hub": Hub(enabled=False)}
    return load_studio("lab").model_copy(update=changes)


@dataclass(frozen=True)
class Layout:
    """The folder of one run: `current/` as it is rendered, `data/`, `secrets/`, `logs/`."""

    folder: Path

    def of_container(self, name: str, text: str) -> str:
        """A text with the paths that the component's container sees as they are here."""
        moves = {
            "/etc/vector": "current/vector",
            "/etc/victoriametrics": "current/victoriametrics",
            "/etc/vmalert": "current/vmalert",
            "/etc/alertmanager": "current/alertmanager",
            "/mosquitto/config": "current/mosquitto",
            "/mosquitto/state": "secrets/mosquitto",
            "/mosquitto/data": "data/mosquitto",
            "/run/secrets": "secrets",
            "/var/lib/vector": "data/vector",
            "/victoria-metrics-data": "data/victoriametrics",
            "/alertmanager": "data/alertmanager",
        }
        longest_first = "|".join(sorted(map(re.escape, moves), key=len, reverse=True))
        # At the beginning of a path only: an URL's or a longer path's middle is none.
        pattern = rf"(?<![\w/.:-])(?:{longest_first})(?![\w-])"
        return re.sub(pattern, lambda match: str(self.folder / moves[match[0]]), text)

    def write(self, studio: Studio, recorder: int) -> dict[str, str]:
        """Put everything in place; returns the devices' passwords.

        Args:
            recorder: the port of the stand-in for Grafana IRM.
        """
        for name in ("data/mosquitto", "data/vector", "logs", "secrets/mosquitto"):
            (self.folder / name).mkdir(parents=True, mode=0o700)
        for component in components(studio):
            for path, artifact in component.files.items():
                target = self.folder / "current" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(self.of_container(component.name, artifact.content.decode()))
        if os.geteuid() == 0 and (conf := self.folder / "current/mosquitto/mosquitto.conf").exists():
            # Else it would become a user of its own, who may not read this folder.
            conf.write_text(f"{conf.read_text()}user root\n")
        known = accounts(studio)
        passwords = {account.name: secrets.token_urlsafe(32) for account in known}
        for kind, token in TOKENS.items():
            receiver = getattr(studio.alerts, kind)
            self._secret(receiver.url_secret, WEBHOOK.format(port=recorder, token=token))
        self._secret("broker-vector", passwords["vector"])
        salt = secrets.token_bytes
        users = [
            {"name": name, "hash": broker.new_hash(password.encode(), salt(broker.SALT_BYTES))}
            for name, password in passwords.items()
        ]
        self._secret("mosquitto/passwd", credentials.mosquitto(users).decode())
        self._secret("mosquitto/acl", (self.folder / "current/mosquitto/acl").read_text())
        return {name.removeprefix("device-"): word for name, word in passwords.items() if name.startswith("device-")}

    def _secret(self, name: str, value: str) -> None:
        target = self.folder / "secrets" / name
        target.touch(mode=0o600)
        target.write_text(value)

    def simulator(self, studio: Studio, passwords: dict[str, str]) -> Path:
        """The settings file of lab.simulator.feed."""
        settings = {"inventory": str(ROOT / "inventories/lab.yaml"), "host": "127.0.0.1", "port": studio.ports.mqtt}
        self._secret("simulator.json", json.dumps({**settings, "passwords": passwords}))
        return self.folder / "secrets/simulator.json"


@dataclass(frozen=True)
class Service:
    """One process: what it is started with (in which folder), and how to know that it works."""

    name: str
    version: str
    argv: list[str]
    environment: dict[str, str]
    cwd: Path
    port: int
    health_url: str | None


def _arguments(component: Component, layout: Layout) -> list[str]:
    if component.container is None:
        line = next(a for path, a in component.files.items() if path.endswith("/defaults")).content.decode()
        return line.strip().removeprefix("ARGS=").strip('"').split()
    return [layout.of_container(component.name, word) for word in component.container.command]


def services(studio: Studio, layout: Layout, root: Path, packages: Path) -> Iterator[Service]:
    """Every component that can be a plain process, in the order in which they are started."""
    for component in sorted(components(studio), key=lambda c: c.order):
        if component.name not in PROGRAMS:
            continue
        words = _arguments(component, layout)
        environment: dict[str, str] = {}
        version = (component.image or "").rpartition(":")[2]
        if component.name == "vector":
            words = ["-P", "-m", "vector_standin", *words]
            environment = {"PYTHONPATH": f"{STANDIN}:{packages}", "PYTHONHOME": str(root / "usr")}
            version += " stand-in"
        argv = parts.command(root, PROGRAMS[component.name], *words)
        yield Service(component.name, version, argv, environment, root, component.listens[0].port, component.health_url)
