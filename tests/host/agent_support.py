"""A studio on one lab host and a camera on another: the agent is put there over SSH, as a user of the first does it."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import testinfra
from deploy_support import INVENTORY, REPOSITORY, StudioHost

from lab import guest, keys, studio_host
from lab.host import LabHost, Result

CAMERA = "annealer-eye"
DATA = "/var/lib/studio-agent"
CONFIG = f"{DATA}/thermal_config.json"
READS = "/usr/local/bin/thermal-read"
READING = '#!/bin/sh\necho \'{"temp_max": 511.25, "temp_min": 430.5, "temp_mean": 480.75}\'\n'
LINE = "  - {id: annealer-eye, label: Annealer"


@dataclass
class Site:
    """The two hosts; `command` is what the administrator types on the first."""

    studio: StudioHost
    camera: LabHost

    def command(self, *words: str, check: bool = True) -> Result:
        argv = ["/opt/venv/bin/python", "-m", "studio.cli", "devices", *words]
        argv = guest.enter(self.studio.host.name, argv, self.studio.environment(), cwd=REPOSITORY)
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=400, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def table(self, done: Result) -> str:
        """A command's output in one line, however its table was broken into lines."""
        return " ".join(done.stdout.split())

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.command("status", "lab", CAMERA, "--json", check=False).stdout)[0]
        return found

    def pid(self) -> int:
        return int(self.camera.exec("systemctl show --value -p MainPID studio-agent").stdout)

    def machine(self) -> Any:
        """The camera for testinfra, as root."""
        return testinfra.get_host(
            f"ssh://root@127.0.0.1:{self.camera.port(22)}",
            ssh_identity_file=str(keys.private_key()),
            ssh_extra_args="-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        )

    def stored(self, what: str, camera: str, seconds: int) -> float:
        """`count`, `min` or `max` of the camera's mean temperatures of the last seconds in VictoriaMetrics; 0: none."""
        query = f'{what}_over_time(camera_temp_mean{{camera="{camera}"}}[{seconds}s])'
        url = f"http://127.0.0.1:8428/api/v1/query?latency_offset=1ms&query={quote(query)}"
        rows = json.loads(self.studio.host.exec(["curl", "-fsS", url]).stdout)["data"]["result"]
        return sum(float(row["value"][1]) for row in rows)

    def readings(self, seconds: int) -> int:
        """How many of the camera's readings of the last seconds VictoriaMetrics has."""
        return int(self.stored("count", CAMERA, seconds))

    def hub(self, path: str, method: str = "GET", body: dict[str, Any] | None = None) -> Any:
        """What the hub's administrator is answered."""
        token = studio_host.secret(self.studio.host, "hub-admin-token")
        curl = ["curl", "-fsS", "-X", method, "-H", "@/dev/stdin", f"http://127.0.0.1:8080{path}"]
        curl += ["--json", json.dumps(body)] if body is not None else []
        return json.loads(self.studio.host.exec(curl, stdin=f"Authorization: Bearer {token}\n").stdout)

    def keys_in_use(self) -> list[str]:
        """The keys that deploys made and that are still good."""
        made = [key for key in self.hub("/admin/provision-keys") if (key["note"] or "").startswith("studio devices")]
        assert made, "no deploy made a key"
        return [key["key"] for key in made if key["revoked_at"] is None]

    @contextlib.contextmanager
    def edited(self, file: str, old: str, new: str) -> Iterator[None]:
        """The copy of the repository with a change in it."""
        self.studio.edit(file, old, new)
        try:
            yield
        finally:
            self.studio.edit(file, new, old)


def furnish(studio: StudioHost, camera: LabHost) -> Site:
    """The camera has a program that reads, the first host a key to it, and the inventory says where it is."""
    camera.write(READS, READING, mode="0755")
    studio.host.write("/root/.ssh/id_ed25519", keys.private_key().read_text(), mode="0600")
    where = f"host: {camera.address}, user: artist, reads: [{READS}], expected_interval_seconds: 1, no_data_minutes: 1"
    studio.edit("inventories/lab.yaml", LINE, f"{LINE}, {where}")
    assert camera.address in studio.host.read(INVENTORY)
    return Site(studio, camera)
