"""The agent on cameras without a camera: what is packed, what is lacking, what is unpacked, what is refused."""

import base64
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from devicectl import change, service, version
from devicectl.paths import Paths
from hostctl.errors import HostError
from studio.bundle import Artifact, Bundle
from studio.devices import chosen, program
from studio.devices.ask import read
from studio.devices.checks import HARDENING, checks
from studio.devices.hub import Key
from studio.devices.package import package
from studio.devices.plan import Wanted, plan
from studio.devices.release import Release
from studio.host import Failed
from studio.model import Studio, load_studio
from studio.model.services import Host

AUTHORITY = b"-----BEGIN CERTIFICATE-----\n"


def studio(**changes: Any) -> Studio:
    """The lab's studio, its camera with a host."""
    made = load_studio("lab")
    camera = made.cameras[0].model_copy(update={"host": "10.77.0.3", "user": "pi", "reads": ("/bin/read",)})
    return made.model_copy(update={"cameras": (camera,), **changes})


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return package(AUTHORITY)


@pytest.fixture
def wanted(bundle: Bundle) -> Wanted:
    made = studio()
    return Wanted(made, made.cameras[0], bundle.generation, "Studio.local")


def well(wanted: Wanted) -> dict[str, Any]:
    """What a camera tells on which everything is as it should be."""
    return {
        "version": wanted.version,
        "damage": [],
        "running": wanted.version,
        "unit": {"ActiveState": "active", "UnitFileState": "enabled", "WatchdogUSec": "2min", **HARDENING},
        "name": "annealer-eye",
        "server": "mqtts://studio.local:8883",
        "asked": False,
        "request": False,
        "provisioning": {"phase": "completed"},
        "files": {".": "0700 studio-agent", "thermal_config.json": "0600 studio-agent", "outbox.db": None},
        "said": "",
    }


def test_a_camera_that_is_as_it_should_be_lacks_nothing(wanted: Wanted) -> None:
    assert plan(well(wanted), wanted).reasons == []
    assert [check.name for check in checks(well(wanted), wanted, 3.0) if not check.ok] == []


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"version": None}, ["install: it is not there"]),
        ({"damage": ["/opt/x"]}, ["install: changed on the device: /opt/x"]),
        ({"running": "0" * 16}, ["restart: version 0000000000000000 runs"]),
        ({"unit": {"ActiveState": "failed"}}, ["restart: it does not run"]),
        ({"unit": {"ActiveState": "active", "UnitFileState": "disabled"}}, ["restart: it is not started at boot"]),
        ({"name": None, "server": None}, ["provision: the device is not provisioned"]),
        ({"name": "other-eye"}, ["provision: the device is provisioned as other-eye"]),
        ({"server": "mqtts://old:8883"}, ["provision: it talks to mqtts://old:8883, not to mqtts://studio.local:8883"]),
        ({"asked": True, "request": True}, ["provision: an earlier provisioning is unfinished"]),
        ({"request": True}, ["settle: the key of its provisioning is still there"]),
    ],
)
def test_what_is_lacking_is_said_and_nothing_else(wanted: Wanted, change: dict[str, Any], reasons: list[str]) -> None:
    found = well(wanted) | change
    assert plan(found, wanted).reasons == reasons
    assert any(check.ok is False for check in checks(found, wanted, 3.0))


def test_it_is_provisioned_anew_when_that_is_asked_for(wanted: Wanted) -> None:
    assert plan(well(wanted), wanted, again=True).reasons == ["provision: it is asked for"]


@pytest.mark.parametrize(
    ("change", "age", "name"),
    [
        ({"files": {".": "0755 root", "thermal_config.json": "0600 studio-agent", "outbox.db": None}}, 3, "files"),
        ({"files": {".": "0700 studio-agent", "thermal_config.json": "0644 pi", "outbox.db": None}}, 3, "files"),
        ({"unit": {"ActiveState": "active", "UnitFileState": "enabled", "WatchdogUSec": "2min"}}, 3, "hardened"),
        ({"unit": {"ActiveState": "active", "UnitFileState": "enabled", **HARDENING}}, 3, "watchdog"),
        ({}, 10_000, "arrive"),
    ],
)
def test_each_check_fails_for_its_own_fault_alone(
    wanted: Wanted, change: dict[str, Any], age: float, name: str
) -> None:
    failed = [check for check in checks(well(wanted) | change, wanted, age) if check.ok is False]
    assert [name in check.name for check in failed] == [True]
    assert failed[0].detail


def test_a_camera_that_never_sent_is_waited_for(wanted: Wanted) -> None:
    assert [check.ok for check in checks(well(wanted), wanted, None)].count(None) == 1


def test_why_provisioning_failed_is_told_in_the_agents_words(wanted: Wanted) -> None:
    error = {"message": "hub:8884: no connection", "advice": "Check the network"}
    found = well(wanted) | {"name": None, "provisioning": {"phase": "failed", "error": error}}
    assert any("hub:8884: no connection; Check the network" in check.detail for check in checks(found, wanted, 3))


def test_the_request_is_one_that_the_agent_takes(wanted: Wanted, tmp_path: Path) -> None:
    from agent import request, settings

    asked = wanted.request(Key("key", "secret"))
    asked.pop("ca_certificate")  # there is none at its place here
    parsed = request.parse_request(json.dumps(asked).encode(), tmp_path)
    assert (str(parsed.server), str(parsed.device_server)) == ("mqtts://studio.local:8884", "mqtts://studio.local:8883")
    assert (parsed.name, parsed.makes_names) == ("annealer-eye", False)
    assert "secret" not in repr(Key("key", "secret"))
    config = {**wanted.first_config, "device_name": "x", "mqtt": {"server": "mqtts://a:1", "username": "u"}}
    assert settings.parse(config, tmp_path).source.command == ("/bin/read",)


def test_a_camera_is_told_an_address_at_which_the_studio_listens(bundle: Bundle) -> None:
    """A name in .local often is an IPv6 address first; the broker and the firewall of an IPv4 network know none."""
    home = studio().model_copy(update={"host": Host()})
    (camera,) = home.cameras
    seen = "fe80::3%eth0"
    with pytest.raises(Failed, match=r"annealer-eye: it was reached from fe80::3%eth0, .* 10\.77\.0\.0/24 alone"):
        Release(home, bundle).wanted(camera, seen)
    assert Release(home, bundle).wanted(camera, "10.77.0.1").device_server == "mqtts://10.77.0.1:8883"
    six = Release(home.model_copy(update={"network": "fe80::/64"}), bundle).wanted(camera, seen)
    assert six.device_server == "mqtts://[fe80::3%eth0]:8883"
    assert six.request(Key("key", "secret"))["server"] == "mqtts://[fe80::3%eth0]:8884"
    away = home.model_copy(update={"host": Host(address="studio.local")})
    assert Release(away, bundle).wanted(camera, seen).device_server == "mqtts://studio.local:8883"


@pytest.mark.parametrize(
    ("changes", "names", "told"),
    [
        ({}, ["no-eye"], "lab has no camera 'no-eye'; it has: annealer-eye"),
        ({"cameras": ()}, [], "no camera has a `host:`"),
        ({"network": None}, [], "give `network:`"),
        ({"hub": load_studio("lab").hub.model_copy(update={"tls": False})}, [], "give `hub: {tls: true}`"),
        ({"topics": load_studio("lab").topics.model_copy(update={"camera": "eyes/{id}"})}, [], "topics.camera"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_done(changes: dict[str, Any], names: list[str], told: str) -> None:
    with pytest.raises(Failed, match="lab") as raised:
        chosen(studio(**changes), names)
    assert told in str(raised.value)
    assert raised.value.code == 2


def test_the_package_is_the_agent_and_its_library_and_the_same_each_time(bundle: Bundle) -> None:
    assert {"lib/agent/cli.py", "lib/paho/mqtt/client.py", "ca.crt", "bin/studio-agent"} <= set(bundle.files)
    assert not [path for path in bundle.files if "__pycache__" in path or path.endswith(".pyc")]
    assert package(AUTHORITY).tar_gz() == bundle.tar_gz()
    assert package(AUTHORITY + b"another").generation != bundle.generation


@pytest.fixture
def device(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


def packed(bundle: Bundle) -> str:
    return base64.b64encode(bundle.tar_gz()).decode()


def test_a_version_is_unpacked_whole_placed_and_found_undamaged(device: Paths, bundle: Bundle) -> None:
    name = bundle.generation
    assert version.in_use(device) is None
    assert version.damage(device, name) != []
    version.put(device, name, packed(bundle))
    version.switch(device, name)
    assert version.in_use(device) == name
    assert version.damage(device, name) == []
    assert f"/opt/studio-agent/versions/{name}/bin/studio-agent run" in device.unit.read_text()
    assert (device.current / "bin/studio-agent").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("spoiled", ["lib/agent/run.py", "etc/systemd/system/studio-agent.service", "pyc", "link"])
def test_every_damage_is_found(device: Paths, bundle: Bundle, spoiled: str) -> None:
    name = bundle.generation
    version.put(device, name, packed(bundle))
    version.switch(device, name)
    folder = device.versions / name
    match spoiled:
        case "pyc":
            next(folder.glob("lib/agent/__pycache__/cli.*.pyc")).unlink()
        case "link":
            device.command.unlink()
        case _:
            place = folder / spoiled if spoiled.startswith("lib") else device.root / spoiled
            place.write_text(place.read_text() + "\n")
    assert len(version.damage(device, name)) == 1
    version.put(device, name, packed(bundle))
    version.switch(device, name)
    assert version.damage(device, name) == []


@pytest.mark.parametrize(("systemd", "grows"), [(252, False), (253, False), (254, True), (257, True), (None, True)])
def test_a_unit_has_only_what_the_devices_systemd_knows(
    device: Paths, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, systemd: int | None, grows: bool
) -> None:
    monkeypatch.setattr(service, "systemd_version", lambda: systemd)
    version.put(device, bundle.generation, packed(bundle))
    version.switch(device, bundle.generation)
    settings = [line.partition("=")[0] for line in device.unit.read_text().splitlines()]
    assert ("RestartSteps" in settings, "RestartMaxDelaySec" in settings) == (grows, grows)
    assert {"Restart", "RestartSec", "RestartPreventExitStatus"} <= set(settings)
    assert version.damage(device, bundle.generation) == []
    monkeypatch.setattr(service, "systemd_version", lambda: 252 if grows else 254)
    assert version.damage(device, bundle.generation) == [str(device.unit)], "it is placed anew after an upgrade"


def test_a_package_that_is_not_what_its_name_says_is_refused(device: Paths, bundle: Bundle) -> None:
    files = {**bundle.files, "lib/agent/run.py": Artifact(b"print('another')\n")}
    with pytest.raises(HostError, match="damaged on its way"):
        version.put(device, bundle.generation, packed(Bundle(files)))
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../outside"))
    with pytest.raises((HostError, tarfile.TarError)):
        version.put(device, bundle.generation, base64.b64encode(plain.getvalue()).decode())
    assert not list(device.root.rglob("outside"))
    assert list(device.versions.iterdir()) == []


def test_only_the_version_in_use_stays(device: Paths, bundle: Bundle) -> None:
    other = package(AUTHORITY + b"another")
    for one in (bundle, other):
        version.put(device, one.generation, packed(one))
        version.switch(device, one.generation)
    (device.versions / ".new-77").mkdir()
    version.prune(device)
    assert [folder.name for folder in device.versions.iterdir()] == [other.generation]


def test_what_a_provisioning_leaves_goes_when_it_is_settled(device: Paths) -> None:
    left, kept = ("provision.json", ".provision.devices"), ("thermal_config.json", "provision_status.json")
    device.data.mkdir(parents=True)
    device.units.mkdir(parents=True, exist_ok=True)
    for name in (*left, *kept):
        (device.data / name).write_text("{}")
    for _ in range(2):
        assert change.settle(device) == "the key is removed"
        assert {path.name for path in device.data.iterdir()} == set(kept)


def test_the_running_version_is_read_off_the_process(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    line = "/usr/bin/python3\0-IS\0/opt/studio-agent/versions/0123456789abcdef/bin/studio-agent\0run\0"
    (tmp_path / "7/cmdline").write_text(line)
    assert service.running({"MainPID": "7"}, tmp_path) == "0123456789abcdef"
    assert service.running({"MainPID": "8"}, tmp_path) is None


def test_the_unpacked_agent_starts_with_the_systems_python_alone(device: Paths, bundle: Bundle) -> None:
    version.put(device, bundle.generation, packed(bundle))
    command = [device.versions / bundle.generation / "bin/studio-agent", "status", "--json", "--dir", device.root]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["phase"] == "none"


def test_the_program_that_is_sent_along_has_all_that_it_needs(tmp_path: Path) -> None:
    """Run as it is run on a camera; without root it says so, and that is all it needs to be loaded."""
    line = program.line("facts", "0" * 16).replace("sudo -n", "false")
    stdin = program.parcel()
    done = subprocess.run(["sh", "-c", line], input=stdin, capture_output=True, text=True, check=False, timeout=60)
    assert "Error" not in done.stderr
    assert "Traceback" not in done.stderr
    if done.returncode == 0:
        assert json.loads(done.stdout.splitlines()[-1])["python"].startswith("3.")


def test_what_the_accounts_shell_says_at_a_log_in_is_no_address() -> None:
    assert read(["Welcome", "10.77.0.1", '{"python": "3.13.5"}']) == ("10.77.0.1", {"python": "3.13.5"})
    for lines in ([], ["10.77.0.1"], ["10.77.0.1", "[]"], ["10.77.0.1", "no"]):
        with pytest.raises((ValueError, IndexError)):
            read(lines)


@pytest.mark.parametrize("odd", ["[1]", '{"history": [1], "phase": 2}', '{"history": {}}', "{", None])
def test_nothing_in_the_agents_folder_holds_a_deploy_up(device: Paths, odd: str | None) -> None:
    """Root reads there what an account without rights may put there."""
    device.data.mkdir(parents=True)
    path = device.data / "provision_status.json"
    if odd is None:
        os.mkfifo(path)
    else:
        path.write_text(odd)
    assert service._attempts(device) == set()
    assert not service._provisioned(device, set())
