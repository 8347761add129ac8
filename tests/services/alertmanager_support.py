"""The real Alertmanager with the lab's rendered configuration, and receivers that record what they are told."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from lab.plain import parts
from lab.plain.layout import RECORDER, TOKENS, WEBHOOK
from lab.ports import free_ports
from lab.run import wait_for
from studio.model import load_studio
from studio.render import render, rules
from studio.render.alertmanager import RECEIVERS

LAB = load_studio("lab")


@contextmanager
def running(argv: list[str], log: Path, cwd: Path | None = None) -> Iterator[None]:
    with log.open("ab") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, cwd=cwd)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def recorder(port: int, records: Path) -> list[str]:
    return [sys.executable, str(RECORDER), "--port", str(port), "--records", str(records)]


def told(records: Path) -> list[dict[str, Any]]:
    """Every alert that a recorder was told, with when, and as what kind of call."""
    lines = records.read_text().splitlines() if records.exists() else []
    return [
        {"kind": r["kind"], "received": r["received"], "name": a["labels"]["alertname"], **a}
        for r in map(json.loads, lines)
        for a in r["body"]["alerts"]
    ]


def every_rule() -> list[dict[str, Any]]:
    return [rule for found in rules.groups(LAB).values() for rule in found if "alert" in rule]


class Alertmanager:
    """Alertmanager with the lab's rendered configuration; each receiver calls a port of its own."""

    def __init__(self, root: Path, folder: Path, change: Callable[[str], str] = str) -> None:
        self.port, *ports = free_ports(4)
        self.ports = dict(zip(RECEIVERS, ports, strict=True))
        self.url = f"http://127.0.0.1:{self.port}"
        secrets = folder / "secrets"
        secrets.mkdir(parents=True)
        for kind, port in self.ports.items():
            (secrets / f"irm-{kind}-url").write_text(WEBHOOK.format(port=port, token=TOKENS[kind]))
        config = folder / "alertmanager.yml"
        config.write_text(
            change(render(LAB).files["alertmanager/alertmanager.yml"].content.decode()).replace(
                "/run/secrets", str(secrets)
            )
        )
        flags = [f"--config.file={config}", f"--storage.path={folder / 'data'}", "--cluster.listen-address="]
        listen = f"--web.listen-address=127.0.0.1:{self.port}"
        self.argv = parts.command(root, "usr/bin/prometheus-alertmanager", *flags, listen)
        self.root, self.folder = root, folder

    @contextmanager
    def up(self) -> Iterator["Alertmanager"]:
        with running(self.argv, self.folder / "alertmanager.log", self.root):
            wait_for("Alertmanager", lambda: requests.get(f"{self.url}/-/ready", timeout=2).ok, 60)
            yield self

    def post(self, *labels: dict[str, str]) -> None:
        now = datetime.now(UTC).isoformat()
        alerts = [{"labels": own, "startsAt": now} for own in labels]
        requests.post(f"{self.url}/api/v2/alerts", json=alerts, timeout=10).raise_for_status()

    def inhibited(self) -> dict[str, bool]:
        """Whether each alert is held back, by its name (and what else tells it apart)."""
        found = requests.get(f"{self.url}/api/v2/alerts", timeout=10).json()
        return {a["labels"].get("id", ""): bool(a["status"]["inhibitedBy"]) for a in found}
