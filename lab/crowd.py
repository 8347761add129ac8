"""Many agents at once on one lab host, at the hub of another, whose broker may be restarted in the middle of it."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from lab.host import LabHost
from lab.hub_demo import DemoHub
from lab.run import LabError
from lab.studio_host import PYTHON, REPOSITORY, secret

STATE: Final = "/var/lib/sensor-pipeline/state"
AUTHORITY: Final = "/root/ca.crt"
SECONDS: Final = 900


class Crowd:
    """Agents named PREFIX-XXXXXX on `place`, a bare host, that provision themselves at the hub of `studio`."""

    def __init__(self, studio: LabHost, place: LabHost, prefix: str = "crowd") -> None:
        self.studio = studio
        self.place = place
        self.prefix = f"{prefix}-"
        self._hub = DemoHub(studio, secret(studio, "hub-admin-token"))

    def request(self) -> dict[str, str]:
        """A provision.json for all of them, each with a name of its own; the authority's certificate is put there."""
        key = self._hub.ask("POST", "/admin/provision-keys", json={"kind": "camera"})
        self.place.write(AUTHORITY, self.studio.read(f"{STATE}/tls/ca.crt"))
        return {
            "server": f"mqtts://{self.studio.address}:8884",
            "device_server": f"mqtts://{self.studio.address}:8883",
            "provision_device_key": key["key"],
            "provision_device_secret": key["secret"],
            "device_name": f"{self.prefix}XXXXXX",
            "ca_certificate": AUTHORITY,
        }

    def devices(self) -> list[str]:
        """The ids of all of them that the hub knows; it lists a thousand devices at a time."""
        found: list[str] = []
        page = [self.prefix]
        while page:
            listed = self._hub.ask("GET", "/admin/devices", params={"after": page[-1]})
            page = [device["device_id"] for device in listed]
            found += page
        return [name for name in found if name.startswith(self.prefix)]

    def accounts(self) -> list[str]:
        """Their accounts at the broker."""
        users = json.loads(self.studio.read(f"{STATE}/broker-users.d/hub.json"))["users"]
        return [user["name"] for user in users if user["roles"][0].startswith(f"provisioned-{self.prefix}")]

    def arrive(self, count: int, restart_at: int | None = None) -> dict[str, Any]:
        """Let `count` agents provision themselves at once; HiveMQ is restarted when `restart_at` devices are there.

        What `python -m bench.agent --crowd` measured, with how many devices and accounts there are in the end.
        """
        command = f"cd {REPOSITORY} && exec {PYTHON} -m bench.agent --crowd {count}"
        restarted = None
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.place.exec, command, stdin=json.dumps(self.request()), timeout=SECONDS)
            if restart_at is not None:
                restarted = self._restart(restart_at, running.done)
            told: dict[str, Any] = json.loads(running.result().stdout)
        devices, accounts = self.devices(), self.accounts()
        return {
            **told,
            "restarted_at": restarted,
            "devices": len(devices),
            "distinct_devices": len(set(devices)),
            "accounts": len(accounts),
            "distinct_accounts": len(set(accounts)),
        }

    def _restart(self, count: int, too_late: Callable[[], bool]) -> int:
        end = time.monotonic() + SECONDS
        while (there := len(self.devices())) < count:
            if too_late() or time.monotonic() > end:
                raise LabError(f"there were never {count} devices while the agents provisioned themselves: {there}")
            time.sleep(0.5)
        if too_late():
            raise LabError("all agents were done before the broker was restarted")
        self.studio.exec("systemctl --user -M studio@ restart hivemq.service")
        return there
