"""The agent on a camera: installed, provisioned, updated, revoked and removed from the studio's host, over SSH."""

import json
import time
from collections.abc import Iterator

import pytest
from agent_support import CAMERA, CONFIG, DATA, LINE, Site, furnish
from deploy_support import StudioHost

from lab.crowd import Crowd
from lab.host import LabHost
from lab.run import wait_for

pytestmark = pytest.mark.lab
PROCESSED = "provision.txt.processed"


@pytest.fixture(scope="module")
def site(studio: StudioHost) -> Iterator[Site]:
    camera = LabHost("test-agent-camera")
    try:
        yield furnish(studio, camera.up(fresh=True))
    finally:
        camera.down()


@pytest.fixture
def installed(site: Site) -> Site:
    """The agent is there and works, as the tests before leave it; else it is deployed."""
    if site.camera.exec("systemctl is-active --quiet studio-agent", check=False).returncode:
        site.command("deploy", "lab")
    return site


def test_a_bare_camera_becomes_one_that_delivers_its_temperatures(site: Site) -> None:
    unknown = site.facts()
    assert unknown["version"] is None
    assert f"the host key of artist@{site.camera.address} is not known here" in unknown["detail"]
    done = site.command("deploy", "lab")
    assert "the device is provisioned" in site.table(done)
    wait_for("readings in VictoriaMetrics", lambda: site.readings(30) >= 3, 60)
    checks = json.loads(site.command("verify", "lab", "--json").stdout)[CAMERA]
    assert len(checks) >= 8
    assert [check for check in checks if not check["ok"]] == []
    device = next(d for d in site.hub("/admin/devices") if d["device_id"] == CAMERA)
    assert (device["kind"], device["revoked_at"]) == ("camera", None)
    assert site.keys_in_use() == []


def test_what_is_on_the_camera_is_the_agents_own_and_nothing_more(installed: Site) -> None:
    machine = installed.machine()
    agent = machine.service("studio-agent")
    assert agent.is_running
    assert agent.is_enabled
    assert agent.systemd_properties["WatchdogUSec"] == "2min"
    assert machine.file(DATA).mode == 0o700
    config = machine.file(CONFIG)
    assert (config.mode, config.user) == (0o600, "studio-agent")
    assert not machine.file(f"{DATA}/provision.json").exists
    assert not machine.file(f"{DATA}/provision.txt").exists
    assert machine.file(f"{DATA}/{PROCESSED}").exists
    process = machine.process.get(pid=installed.pid())
    assert process.user == "studio-agent"
    assert machine.file("/opt/studio-agent").user == "root"
    assert machine.run("find /opt/studio-agent ! -user root -o -perm /022 ! -type l").stdout == ""
    assert f"pid={installed.pid()}," in machine.run("ss -Htnp").stdout
    assert f"pid={installed.pid()}," not in machine.run("ss -Htulnp").stdout


def test_its_secret_is_in_one_file_alone(installed: Site) -> None:
    password = json.loads(installed.camera.read(CONFIG))["mqtt"]["password"]
    assert len(password) >= 32
    found = installed.camera.exec(["grep", "-rlF", "--", password, "/etc", "/opt", "/var", "/run", "/tmp"], check=False)
    assert set(found.stdout.split()) <= {CONFIG}
    journal = installed.camera.exec("journalctl --no-pager -o json").stdout
    assert password not in journal
    assert password not in installed.studio.host.exec("journalctl --no-pager -o json").stdout


def test_a_second_deploy_asks_and_changes_nothing(installed: Site) -> None:
    before = (installed.pid(), installed.camera.exec(f"find /opt/studio-agent {DATA} -newermt '-1 second'").stdout)
    files = installed.camera.exec(f"find /opt/studio-agent {CONFIG} /etc/systemd/system -printf '%p %C@\\n'").stdout
    began = time.monotonic()
    done = installed.command("deploy", "lab")
    assert time.monotonic() - began < 30
    assert "as it was" in done.stdout
    assert "No changes" in done.stderr
    after = installed.camera.exec(f"find /opt/studio-agent {CONFIG} /etc/systemd/system -printf '%p %C@\\n'").stdout
    assert (installed.pid(), files) == (before[0], after)


def test_a_killed_agent_and_a_rebooted_camera_come_back_by_themselves(installed: Site) -> None:
    old = installed.pid()
    installed.camera.exec(["kill", "-9", str(old)])
    wait_for("the agent is started again", lambda: installed.pid() not in (0, old), 60)
    installed.camera.reboot()
    wait_for("readings after a reboot", lambda: installed.readings(10) >= 3, 60)
    assert installed.command("verify", "lab", check=False).returncode == 0


def test_an_update_restarts_the_agent_once_and_keeps_what_people_wrote(installed: Site) -> None:
    before, version = installed.camera.read(CONFIG), installed.facts()["version"]
    values = {**json.loads(before), "note": "by hand"}
    installed.camera.exec(f"cp -p {CONFIG} /root/kept && cat > {CONFIG}", stdin=json.dumps(values))
    with installed.edited("agent/__init__.py", "VERSION = ", "# An update.\nVERSION = "):
        done = installed.command("deploy", "lab")
        now = installed.facts()["version"]
        assert now != version
        assert f"version {now} runs" in installed.table(done)
        assert json.loads(installed.camera.read(CONFIG)) == values
        versions = installed.camera.exec("ls /opt/studio-agent/versions").stdout.split()
        assert versions == [now]
        assert installed.keys_in_use() == []
    installed.command("deploy", "lab")
    assert installed.facts()["version"] == version


def test_a_version_that_does_not_come_up_is_taken_back(installed: Site) -> None:
    version = installed.facts()["version"]
    with installed.edited("agent/run.py", 'notify("READY=1")', 'raise AgentError("planted", "none")'):
        done = installed.command("deploy", "lab", check=False)
    assert done.returncode == 1
    assert "planted" in installed.table(done)
    assert f"version {version}, which was there before, runs again" in installed.table(done)
    assert installed.facts()["version"] == version
    wait_for("readings of the version before", lambda: installed.readings(5) >= 2, 60)


def test_what_was_changed_on_the_camera_is_put_right(installed: Site) -> None:
    installed.camera.exec("echo '# by hand' >> /opt/studio-agent/current/lib/agent/run.py")
    installed.camera.exec("sed -i 's/^WatchdogSec=.*//' /etc/systemd/system/studio-agent.service")
    verified = installed.command("verify", "lab", check=False)
    assert verified.returncode == 1
    assert "agent/run.py" in verified.stdout
    assert "changed on the device" in installed.table(installed.command("deploy", "lab"))
    assert installed.command("verify", "lab").returncode == 0


@pytest.mark.parametrize(
    "when",
    ["/opt/studio-agent/versions", "/opt/studio-agent/current", f"{DATA}/.provision.journal", f"{DATA}/{PROCESSED}"],
)
def test_a_deploy_killed_anywhere_is_finished_by_the_next(site: Site, when: str) -> None:
    site.command("remove", "lab")
    # Not the watch itself, whose words these are: systemd would end pkill with it.
    watch = f"until test -e {when}; do sleep 0.02; done; pkill -9 -f '[d]evicectl.cli|[s]shd-session: artist'"
    site.camera.exec(["systemd-run", "--quiet", "--collect", "timeout", "120", "bash", "-c", watch])
    assert site.command("deploy", "lab", check=False).returncode == 1
    site.command("deploy", "lab")
    assert site.command("verify", "lab", check=False).returncode == 0
    assert site.keys_in_use() == []
    assert site.camera.exec("ls -A /opt/studio-agent/versions").stdout.split() == [site.facts()["version"]]


def test_a_camera_whose_account_ended_in_a_killed_deploy_gets_one_by_the_next(installed: Site) -> None:
    watch = f"until test -e {DATA}/provision.txt; do sleep 0.02; done; pkill -9 -f '[s]shd-session: artist'"
    installed.camera.exec(["systemd-run", "--quiet", "--collect", "timeout", "120", "bash", "-c", watch])
    assert installed.command("deploy", "lab", "--again", CAMERA, check=False).returncode == 1
    assert "an earlier provisioning is unfinished" in installed.table(installed.command("deploy", "lab"))
    wait_for("readings with the new account", lambda: installed.readings(5) >= 2, 60)
    assert installed.keys_in_use() == []


def test_a_camera_with_another_host_key_is_left_alone_until_a_person_has_looked(installed: Site) -> None:
    installed.camera.exec("rm /etc/ssh/ssh_host_*; ssh-keygen -A && systemctl restart ssh")
    pid, message = installed.pid(), "has another host key than the one that is remembered"
    for command in ("deploy", "status", "verify"):
        done = installed.command(command, "lab", check=False)
        assert (done.returncode, installed.pid()) == (1, pid)
        assert message in installed.table(done)
        assert f"`ssh-keygen -R '{installed.camera.address}'`" in installed.table(done)
    installed.studio.host.exec(["ssh-keygen", "-R", installed.camera.address])
    assert "as it was" in installed.command("deploy", "lab").stdout
    assert installed.command("status", "lab").returncode == 0


def test_a_revoked_camera_is_cut_off_and_comes_back_when_it_is_asked_for(installed: Site) -> None:
    wait_for("readings", lambda: installed.readings(5) >= 2, 60)
    installed.hub(f"/admin/devices/{CAMERA}", "DELETE")
    time.sleep(5)
    installed.camera.exec("systemctl restart studio-agent")
    log = "journalctl -u studio-agent -o cat -n 3"
    wait_for("the broker refuses it", lambda: "refused the login" in installed.camera.exec(log).stdout, 60)
    wait_for("nothing arrives any more", lambda: installed.readings(5) == 0, 60)
    assert installed.command("deploy", "lab", CAMERA, "--again").returncode == 0
    wait_for("readings with the new account", lambda: installed.readings(5) >= 2, 60)


def test_every_camera_is_tried_and_what_is_wrong_is_told_of_each(installed: Site) -> None:
    camera = installed.camera
    camera.exec("useradd --create-home guest && cp -r ~artist/.ssh /home/guest/ && chown -R guest /home/guest/.ssh")
    address = camera.address
    more = f"  - {{id: nobody, host: 10.77.0.250}}\n  - {{id: powerless, host: {address}, user: guest}}\n"
    with installed.edited("inventories/lab.yaml", LINE, f"{more}{LINE}"):
        done = installed.command("deploy", "lab", check=False)
        told = json.loads(installed.command("status", "lab", "--json", check=False).stdout)
    assert done.returncode == 1
    lines = {line.split()[0]: " ".join(line.split()) for line in done.stdout.splitlines() if line.strip()}
    assert "ok" in lines[CAMERA]
    assert "failed" in lines["nobody"]
    assert "cannot be reached over SSH" in lines["nobody"]
    assert "guest may not use sudo without a password" in installed.table(done)
    assert [(line["camera"], line["ok"]) for line in told] == [("nobody", False), ("powerless", False), (CAMERA, True)]
    camera.exec("mv /usr/bin/python3 /usr/bin/python3.away")
    try:
        done = installed.command("deploy", "lab", CAMERA, check=False)
    finally:
        camera.exec("mv /usr/bin/python3.away /usr/bin/python3")
    assert done.returncode == 1
    assert "there is no /usr/bin/python3: sudo apt-get install python3" in installed.table(done)


def test_a_hundred_agents_at_once_while_the_broker_restarts_are_a_hundred_devices(site: Site) -> None:
    told = Crowd(site.studio.host, site.camera).arrive(100, restart_at=30)
    print(f"100 agents, the broker restarted: {told}")
    assert (told["provisioned"], told["failed"]) == (100, 0)
    assert (told["devices"], told["distinct_devices"]) == (100, 100)
    assert (told["accounts"], told["distinct_accounts"]) == (100, 100)


def test_a_wrong_name_is_refused_before_anything_happens(site: Site) -> None:
    done = site.command("deploy", "lab", "no-such-eye", check=False)
    assert done.returncode == 2
    assert "lab has no camera 'no-such-eye'; it has: annealer-eye" in done.stderr


def test_removal_keeps_the_data_when_asked_and_else_leaves_nothing(installed: Site) -> None:
    login = json.loads(installed.camera.read(CONFIG))["mqtt"]
    installed.command("remove", "lab", "--keep-data")
    assert json.loads(installed.camera.read(CONFIG))["mqtt"] == login
    assert installed.camera.exec("systemctl cat studio-agent", check=False).returncode != 0
    installed.command("remove", "lab")
    left = "find / -xdev -name '*studio-agent*' -not -path '/proc/*' -not -path '/sys/*'; getent passwd studio-agent"
    assert installed.camera.exec(left, check=False).stdout == ""
    device = next(d for d in installed.hub("/admin/devices") if d["device_id"] == CAMERA)
    assert device["revoked_at"] is not None
    assert installed.command("remove", "lab").returncode == 0
    assert installed.facts()["version"] is None
