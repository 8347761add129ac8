"""A lab host as a studio's host: webhooks that record, the deploy as a user runs it, a simulated studio to feed it."""

import json
import subprocess
from pathlib import PurePosixPath
from typing import Any, Final

import requests

from lab import guest
from lab.host import LabHost, Result
from lab.ports import RECORDER
from lab.simulator.physics import Mood
from studio.model import Studio
from studio.model.loader import load_studio

REPOSITORY: Final = PurePosixPath("/opt/sensor-pipeline")
PYTHON: Final = "/opt/venv/bin/python"
FOLDER: Final = PurePosixPath("/var/lib/lab")
MOODS: Final = FOLDER / "moods.json"
TABLET: Final = FOLDER / "tablet-1.token"
WEBHOOK: Final = f"http://127.0.0.1:{RECORDER}/oncall/integrations/v1/alertmanager"
USER_SECRETS: Final = {
    "STUDIO_SECRET_IRM_SHOP_URL": f"{WEBHOOK}/shop-of-the-lab/",
    "STUDIO_SECRET_IRM_SYSTEM_URL": f"{WEBHOOK}/system-of-the-lab/",
    "STUDIO_SECRET_IRM_HEARTBEAT_URL": f"{WEBHOOK}/watchdog-of-the-lab/heartbeat/",
}
"""What a user would export before a deploy; here the addresses of the recorder."""
RECEIVERS: Final = {"shop-of-the-lab": "shop", "system-of-the-lab": "system", "watchdog-of-the-lab": "heartbeat"}
UNIT: Final = """[Unit]
Description={text}
After=network.target
[Service]
ExecStart={command}
Environment=PYTHONPATH={repository}
Environment=PYTHONDONTWRITEBYTECODE=1
Restart=always
RestartSec=2
[Install]
WantedBy=multi-user.target
"""


def install_unit(host: LabHost, name: str, text: str, command: str) -> None:
    """A system service of the lab (not of the product) that comes back after a reboot."""
    unit = UNIT.format(text=text, command=command, repository=REPOSITORY)
    host.write(f"/etc/systemd/system/{name}.service", unit)
    host.exec(f"systemctl daemon-reload && systemctl enable --quiet {name} && systemctl restart {name}")


def records(host: LabHost, receiver: str | None = None) -> list[dict[str, Any]]:
    """What arrived at a receiver (shop, system, heartbeat), or at all of them, oldest first."""
    answer = requests.get(f"http://127.0.0.1:{host.port(RECORDER)}/lab/records", timeout=10)
    answer.raise_for_status()
    lines = [json.loads(line) for line in answer.text.splitlines()]
    told = [{**line, "receiver": RECEIVERS.get(line["token"], line["token"])} for line in lines]
    return [line for line in told if receiver in (None, line["receiver"])]


def deploy_argv(host: LabHost, *options: str) -> list[str]:
    """The outer command that runs the deploy in the guest as its user would: in pyinfra/, with the secrets exported."""
    argv = ["/opt/venv/bin/pyinfra", "@local", "deploy.py", "-y", *options]
    environment = {"STUDIO": host.info.inventory, "PYTHONDONTWRITEBYTECODE": "1", **USER_SECRETS}
    return guest.enter(host.name, argv, environment, cwd=str(REPOSITORY / "pyinfra"))


def deploy(host: LabHost, *options: str, timeout: float = 300) -> Result:
    """Run the deploy in the guest and return what it said."""
    argv = deploy_argv(host, *options)
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=timeout, stdin=subprocess.DEVNULL)


def secret(host: LabHost, name: str) -> str:
    """The value of one secret, as the host's administrator sees it."""
    return host.exec(["/var/lib/sensor-pipeline/current/bin/hostctl", "secrets", "show", name]).stdout.rstrip("\n")


def start_feed(host: LabHost, studio: Studio, *, speed: float = 1.0, tablet: str | None = None) -> None:
    """Start the simulated studio: every device with its own account, over TLS, to the host's address.

    Args:
        tablet: an enrolment token of the hub, with which a tablet registers and beats.
    """
    settings = {
        "inventory": str(REPOSITORY / "inventories" / f"{studio.name}.yaml"),
        "host": host.address if studio.network else "127.0.0.1",
        "port": studio.ports.mqtt_tls if studio.network else studio.ports.mqtt,
        "ca": "/var/lib/sensor-pipeline/state/tls/ca.crt" if studio.network else None,
        "passwords": {device.id: secret(host, f"device-{device.id}") for _, device in studio.devices},
        "moods": str(MOODS),
        "speed": speed,
        "hub": {"url": f"http://127.0.0.1:{studio.ports.hub}", "token": tablet, "kept": str(TABLET)}
        if tablet
        else None,
    }
    host.write(str(FOLDER / "simulator.json"), json.dumps(settings), mode="0600")
    install_unit(host, "lab-simulator", "Simulated studio", f"{PYTHON} -m lab.simulator.feed {FOLDER}/simulator.json")


def set_moods(host: LabHost, moods: dict[str, Mood]) -> None:
    """Give furnaces their troubles; a furnace that is not named is well."""
    host.write(f"{MOODS}.new", json.dumps({furnace: mood.value for furnace, mood in moods.items()}))
    host.exec(["mv", f"{MOODS}.new", str(MOODS)])


def studio_of(host: LabHost) -> Studio:
    """The studio that the host was made for."""
    return load_studio(host.info.inventory)
