"""Later deploys: exactly what changed is restarted, a bad change never stays, killed runs are finished by the next."""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from deploy_support import REPOSITORY, StudioHost, need_lab, restarted

from lab import keys
from lab.host import LabHost
from studio.paths import ROOT

pytestmark = pytest.mark.lab
FLAME = ("high: 8}", "high: 9}")
LABEL = ("label: Main furnace", "label: Big furnace")


@pytest.fixture(scope="module")
def host() -> Iterator[StudioHost]:
    need_lab()
    machine = LabHost("test-deploy-change")
    try:
        yield StudioHost(machine.up(fresh=True))
    finally:
        machine.down()


@pytest.fixture
def studio(host: StudioHost) -> StudioHost:
    """The studio as its inventory says, deployed and settled, whatever the test before it did."""
    host.restore()
    host.secrets = StudioHost(host.host).secrets
    host.must_deploy()
    host.settled()
    return host


def test_a_changed_limit_restarts_only_vmalert(studio: StudioHost) -> None:
    before = studio.pids()
    studio.edit("inventories/lab.yaml", *FLAME)
    done = studio.must_deploy()
    assert restarted(before, studio.pids()) == {"vmalert"}
    assert "Make the secrets" not in done.changed
    assert studio.must_deploy().changed == []


def test_a_changed_label_restarts_exactly_the_services_whose_files_it_is_in(studio: StudioHost) -> None:
    before, hashes = studio.pids(), {c["name"]: c["hash_wanted"] for c in studio.status()["components"]}
    studio.edit("inventories/lab.yaml", *LABEL)
    studio.must_deploy()
    told = studio.settled()
    changed = {c["name"] for c in told["components"] if hashes[c["name"]] != c["hash_wanted"]}
    assert restarted(before, studio.pids()) == changed
    assert "hivemq" not in changed
    assert "vector" in changed


def test_rotating_vectors_password_restarts_vector_alone_and_data_flow_again(studio: StudioHost) -> None:
    before = studio.pids()
    old = studio.hostctl("secrets", "show", "broker-vector").stdout
    studio.hostctl("secrets", "rotate", "broker-vector")
    assert studio.hostctl("secrets", "show", "broker-vector").stdout != old
    assert restarted(before, studio.pids()) == {"vector"}
    studio.canary()
    assert studio.must_deploy().changed == []


def test_rotating_monits_password_restarts_nothing(studio: StudioHost) -> None:
    before = studio.pids()
    studio.hostctl("secrets", "rotate", "broker-monit")
    assert restarted(before, studio.pids()) == set()
    studio.canary()
    assert studio.must_deploy().changed == []


def test_a_new_value_of_the_users_restarts_its_users(studio: StudioHost) -> None:
    before = studio.pids()
    studio.secrets["STUDIO_SECRET_IRM_SHOP_URL"] += "other/"
    assert studio.must_deploy().changed == ["Make the secrets", "Restart what changed and wait until it is healthy"]
    assert restarted(before, studio.pids()) == {"alertmanager"}
    studio.hostctl("secrets", "set", "irm-shop-url", stdin="http://127.0.0.1:9911/once-more\n")
    assert studio.hostctl("secrets", "show", "irm-shop-url").stdout == "http://127.0.0.1:9911/once-more\n"
    assert studio.must_deploy().changed, "the deploy's value wins over one that was set by hand"


def test_no_secret_is_in_anything_the_deploy_says(studio: StudioHost) -> None:
    studio.secrets["STUDIO_SECRET_IRM_SHOP_URL"] += "whispered/"
    studio.edit("inventories/lab.yaml", "- {id: basil,", "- {id: thyme, label: Thyme}\n  - {id: basil,")
    done = studio.deploy("-vvv", "--debug")
    assert done.code == 0, done.err[-3000:]
    assert "Make the secrets" in done.changed
    told = done.out + done.err
    for secret in studio.status()["secrets"]:
        if secret["name"] != "tls-keystore":
            value = studio.hostctl("secrets", "show", secret["name"]).stdout.strip()
            assert value
            assert value not in told, f"{secret['name']} is in the deploy's output"
    operations = studio.deploy("--debug-operations")
    assert "whispered" not in operations.out + operations.err


def test_a_refused_configuration_never_reaches_the_host(studio: StudioHost) -> None:
    told, before = studio.status(), studio.pids()
    for name in studio.host.exec(f"ls {REPOSITORY}/files/vrl").stdout.split():
        studio.host.exec(f"echo 'this is (no VRL' >> {REPOSITORY}/files/vrl/{name}")
    studio.edit("templates/monit/monitrc.j2", "set log syslog", "set lag syslog")
    done = studio.deploy()
    assert done.code == 1
    assert "vector (" in done.err
    assert "monit (" in done.err, "everything that is refused is told at once"
    assert "Traceback" not in done.err
    after = studio.status()
    assert after["generation"] == told["generation"]
    assert after["generations"] == told["generations"], "a refused generation does not stay on the host"
    assert studio.pids() == before


def test_what_starts_unhealthy_is_undone_within_a_minute(studio: StudioHost) -> None:
    told, before = studio.settled(), studio.pids()
    studio.edit(
        "studio/render/vector_component.py", "http_health(ports.vector_api)", 'http_health(ports.vector_api, "/no")'
    )
    done = studio.deploy()
    ended = float(studio.host.exec("date +%s.%N").stdout)
    assert done.code == 1
    assert "did not come up" in done.err
    assert f"{told['generation']} is in use again and healthy" in done.err
    history = json.loads(studio.host.read("/var/lib/sensor-pipeline/state/history.json"))
    assert [entry["generation"] == told["generation"] for entry in history[-2:]] == [False, True]
    assert ended - datetime.fromisoformat(history[-2]["at"]).timestamp() < 60
    after = studio.settled()
    assert after["generation"] == told["generation"]
    assert after["failed"]["why"].startswith("vector is")
    assert restarted(before, studio.pids()) == {"vector"}
    studio.canary()
    studio.restore()
    assert studio.must_deploy().changed == []


def test_rollback_takes_the_generation_before_into_use_and_back_again(studio: StudioHost) -> None:
    first, before = studio.settled()["generation"], studio.pids()
    studio.edit("inventories/lab.yaml", *FLAME)
    studio.must_deploy()
    second = studio.settled()["generation"]
    assert second != first
    studio.hostctl("rollback")
    assert studio.settled()["generation"] == first
    assert restarted(before, studio.pids()) == {"vmalert"}
    studio.hostctl("rollback", second[:6])
    assert studio.settled()["generation"] == second
    assert studio.hostctl("rollback", "ffff", check=False).returncode == 2


KILLS = [
    ("Upload the generation", 0.05),
    ("Upload the generation", 0.3),
    ("Let the components judge their configuration", 0.2),
    ("Let the components judge their configuration", 0.8),
    ("Switch to the generation", 0.05),
    ("Switch to the generation", 0.15),
    ("Switch to the generation", 0.3),
    ("Write the broker's accounts", 0.02),
    ("Restart what changed and wait until it is healthy", 0.1),
    ("Restart what changed and wait until it is healthy", 0.5),
    ("Restart what changed and wait until it is healthy", 1.5),
    ("Remove old generations", 0.02),
]


def test_killed_anywhere_the_pending_restart_happens_in_the_next_run(studio: StudioHost) -> None:
    killed = 0
    for n, (step, after) in enumerate(KILLS):
        before = studio.pids()
        studio.restore()
        studio.edit("inventories/lab.yaml", FLAME[0], f"high: {10 + n}}}")
        killed += studio.killed_deploy(step, after)
        studio.must_deploy()
        studio.settled()
        assert restarted(before, studio.pids()) == {"vmalert"}, f"killed {after} s into {step!r}"
        assert studio.must_deploy().changed == []
    assert killed >= 8


def test_a_deploy_whose_pyinfra_alone_is_killed_leaves_no_half_way(studio: StudioHost) -> None:
    studio.edit("inventories/lab.yaml", *LABEL)
    assert studio.killed_deploy("Restart what changed", 0.2, whom="main")
    studio.must_deploy()
    studio.settled()


def test_two_deploys_at_once_do_no_harm(studio: StudioHost) -> None:
    other = f"{REPOSITORY}-two"
    studio.host.exec(f"rm -rf {other} && cp -r {REPOSITORY} {other}")
    studio.edit("inventories/lab.yaml", *FLAME)
    second = [word.replace(f"{REPOSITORY}/pyinfra", f"{other}/pyinfra") for word in studio.argv("--json")]
    second = [f"PYTHONPATH={other}" if word == f"PYTHONPATH={REPOSITORY}" else word for word in second]

    def run(argv: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300, stdin=subprocess.DEVNULL)

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(run, [studio.argv("--json"), second]))
    assert [d.returncode for d in done] == [0, 0], [d.stderr[-2000:] for d in done]
    studio.settled()
    studio.must_deploy()
    studio.settled()


def test_a_broker_that_is_no_longer_wanted_disappears_and_can_come_back(studio: StudioHost) -> None:
    before = studio.pids()
    studio.edit(
        "inventories/lab.yaml", "device_metrics: node_exporter", "device_metrics: node_exporter\nbroker: mosquitto"
    )
    studio.must_deploy()
    names = {c["name"] for c in studio.settled()["components"]}
    assert "hivemq" not in names
    assert "mosquitto" in names
    podman = (
        "cd / && runuser -u studio -- env XDG_RUNTIME_DIR=/run/user/$(id -u studio) podman ps -a --format '{{.Names}}'"
    )
    containers = studio.host.exec(podman).stdout.split()
    assert "hivemq" not in containers
    assert "mosquitto" in containers
    assert studio.host.exec("systemctl --user -M studio@ is-active hivemq", check=False).stdout.strip() == "inactive"
    assert restarted(before, studio.pids()) >= {"hivemq", "mosquitto"}
    assert studio.pids()["victoriametrics"] == before["victoriametrics"]
    studio.canary()
    assert studio.must_deploy().changed == []
    studio.restore()
    studio.must_deploy()
    assert "mosquitto" not in {c["name"] for c in studio.settled()["components"]}
    studio.canary()


def test_a_file_that_was_changed_on_the_host_is_put_right_and_its_service_restarted(studio: StudioHost) -> None:
    before = studio.pids()
    studio.host.exec("echo '# hello' >> /var/lib/sensor-pipeline/current/vector/vector.yaml")
    done = studio.must_deploy()
    assert "Upload the generation" in done.changed
    assert restarted(before, studio.pids()) == {"vector"}
    assert "# hello" not in studio.host.read("/var/lib/sensor-pipeline/current/vector/vector.yaml")
    assert studio.must_deploy().changed == []


def test_a_user_with_sudo_may_deploy(studio: StudioHost) -> None:
    assert studio.deploy(user="artist").changed == []
    before = studio.pids()
    studio.edit("inventories/lab.yaml", *FLAME)
    done = studio.deploy(user="artist")
    assert done.code == 0, done.err[-3000:]
    assert restarted(before, studio.pids()) == {"vmalert"}


@pytest.mark.parametrize(("account", "units"), [("studio", 6), ("artist", 0), ("root", 0)])
def test_only_the_studios_account_has_its_units(studio: StudioHost, account: str, units: int) -> None:
    """podman's generator is run for each account that logs in: another one must not start the studio a second time."""
    generator = ["/usr/lib/systemd/user-generators/podman-user-generator", "-user", "-dryrun"]
    said = studio.host.exec(["runuser", "-u", account, "--", *generator], check=False).stdout
    assert said.count("[X-Container]") == units, said[-2000:]


@pytest.mark.parametrize("login", ["root", "artist"])
def test_over_ssh_it_is_the_same(studio: StudioHost, login: str, tmp_path: Path) -> None:
    argv = [
        str(ROOT / ".venv/bin/pyinfra"), "127.0.0.1", "deploy.py", "-y", "--json", "--port", str(studio.host.port(22)),
        "--user", login, "--key", str(keys.private_key()), "--data", f"ssh_known_hosts_file={tmp_path / 'known'}",
        "--data", "studio=lab",
    ]  # fmt: skip
    (tmp_path / "known").touch()
    environment = {**studio.secrets, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    folder = ROOT / "pyinfra"
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["results"]["totals"]["error"] == 0
    studio.settled()


def test_monit_does_not_wait_for_a_deploy(studio: StudioHost) -> None:
    hold = "exec 9>>/run/sensor-pipeline.lock; flock 9; "
    done = studio.host.exec(f"{hold} /var/lib/sensor-pipeline/current/bin/hostctl restart vector", check=False)
    assert done.returncode == 75
    assert "is at work on this host" in done.stderr
    before = studio.pids()
    studio.hostctl("restart", "vector")
    assert restarted(before, studio.pids()) == {"vector"}


def test_the_canary_names_the_leg_that_is_broken(studio: StudioHost) -> None:
    for unit, leg in (("hivemq", "broker:"), ("victoriametrics", "victoriametrics:")):
        studio.host.exec("systemctl stop monit")
        studio.host.exec(f"systemctl --user -M studio@ stop {unit}")
        done = studio.hostctl("check", "canary", check=False)
        assert done.returncode != 0
        assert f"hostctl: {leg}" in done.stderr
        studio.must_deploy()
        studio.canary()
