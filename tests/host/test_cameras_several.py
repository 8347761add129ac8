"""Several cameras by one deploy, at the same time; and a deploy from a machine that is neither studio nor camera."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from agent_support import CAMERA, CONFIG, DATA, LINE, READS, Site, furnish
from deploy_support import INVENTORY, StudioHost

from lab import keys
from lab.host import LabHost
from lab.run import wait_for

pytestmark = pytest.mark.lab
SECOND = "garage-eye"
COOL = '#!/bin/sh\necho \'{"temp_max": 22.5, "temp_min": 20.5, "temp_mean": 21.5}\'\n'
TEMPERATURES = {CAMERA: 480.75, SECOND: 21.5}


@dataclass
class Places:
    """`home`: commands on the studio's host; `office`: on another machine, with an inventory that names that host."""

    home: Site
    office: Site
    cameras: dict[str, LabHost]
    name: str

    def configured(self) -> dict[str, dict[str, Any]]:
        """Each camera's thermal_config.json."""
        return {camera: json.loads(host.read(CONFIG)) for camera, host in self.cameras.items()}

    def deliver(self) -> bool:
        """Whether each camera's own temperatures, and only those, have arrived in the last seconds."""
        return all(
            self.home.stored("count", camera, 5) >= 2
            and self.home.stored("max", camera, 5) == self.home.stored("min", camera, 5) == wanted
            for camera, wanted in TEMPERATURES.items()
        )


@pytest.fixture(scope="module")
def places(studio: StudioHost) -> Iterator[Places]:
    hosts = [LabHost(f"test-cameras-{what}") for what in ("one", "two", "office")]
    try:
        with ThreadPoolExecutor(len(hosts)) as pool:
            one, two, office = pool.map(lambda host: host.up(fresh=True), hosts)
        home = furnish(studio, one)
        two.write(READS, COOL, mode="0755")
        where = f"host: {two.address}, user: root, reads: [{READS}], expected_interval_seconds: 1"
        studio.edit("inventories/lab.yaml", LINE, f"  - {{id: {SECOND}, label: Garage, {where}}}\n{LINE}")
        studio.must_deploy()
        yield Places(home, furnish_office(studio, office, one), {CAMERA: one, SECOND: two}, f"{studio.host.name}.local")
    finally:
        for host in hosts:
            host.down()


def furnish_office(studio: StudioHost, office: LabHost, camera: LabHost) -> Site:
    """A machine with the repository, a key, and the same inventory, in which the studio's host is named."""
    there = StudioHost(office)
    there.restore()
    office.write("/root/.ssh/id_ed25519", keys.private_key().read_text(), mode="0600")
    host = f"host: {{address: {studio.host.name}.local, login: root}}\n"
    office.write(INVENTORY, studio.host.read(INVENTORY).replace("cameras:\n", f"{host}cameras:\n", 1))
    return Site(there, camera)


def window(places: Places, camera: str) -> tuple[float, float]:
    """From when to when a deploy was at work on a camera: its version unpacked, its provisioning completed; epoch s."""
    host, status = places.cameras[camera], f"{DATA}/provision_status.json"
    told = host.exec(f"stat -c %.6Z /opt/studio-agent/versions/* {status}").stdout
    begun, ended = (float(line) for line in told.splitlines())
    return begun, ended


def test_two_bare_cameras_are_installed_and_provisioned_by_one_deploy_at_the_same_time(places: Places) -> None:
    done = places.home.command("deploy", "lab")
    assert places.home.table(done).count("the device is provisioned") == 2
    (begun, ended), (second_begun, second_ended) = (window(places, camera) for camera in places.cameras)
    print(f"deploys on the cameras: {ended - begun:.1f} s and {second_ended - second_begun:.1f} s")
    assert max(begun, second_begun) < min(ended, second_ended), "one after the other"
    configured = places.configured()
    assert {camera: values["device_name"] for camera, values in configured.items()} == {c: c for c in places.cameras}
    assert len({values["mqtt"]["password"] for values in configured.values()}) == 2
    wait_for("both cameras' own temperatures in VictoriaMetrics", places.deliver, 60)
    devices = {d["device_id"]: d for d in places.home.hub("/admin/devices")}
    assert all((devices[c]["kind"], devices[c]["revoked_at"]) == ("camera", None) for c in places.cameras)
    assert places.home.keys_in_use() == []
    verified = json.loads(places.home.command("verify", "lab", "--json").stdout)
    assert set(verified) == set(places.cameras)


def test_a_deploy_from_a_third_machine_tells_the_cameras_the_inventorys_address(places: Places) -> None:
    """What a resolver does elsewhere, /etc/hosts does here: the name is known on all three machines."""
    address = places.home.studio.host.address
    assert {v["mqtt"]["server"] for v in places.configured().values()} == {f"mqtts://{address}:8883"}
    for host in (places.office.studio.host, *places.cameras.values()):
        host.exec(f"echo {address} {places.name} >> /etc/hosts")
    # As who logs in there for the first time, and says yes.
    places.office.studio.host.exec(f"ssh-keyscan {places.name} >> /root/.ssh/known_hosts")
    done = places.office.command("deploy", "lab")
    assert places.office.table(done).count("the device is provisioned") == 2
    assert {v["mqtt"]["server"] for v in places.configured().values()} == {f"mqtts://{places.name}:8883"}
    wait_for("temperatures under the new address", places.deliver, 60)
    again = places.office.command("deploy", "lab")
    assert places.office.table(again).count("as it was") == 2
    assert places.home.keys_in_use() == []
    places.office.command("remove", "lab", SECOND)
    left = {d["device_id"]: d["revoked_at"] for d in places.home.hub("/admin/devices")}
    assert left[SECOND] is not None
    assert left[CAMERA] is None
