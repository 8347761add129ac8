"""The first deploy: from a bare Debian to a studio, however often it is killed, and not at all where it cannot be."""

from collections.abc import Iterator

import pytest
from deploy_support import StudioHost, need_lab

from lab.host import LabHost

pytestmark = pytest.mark.lab
STEPS = [
    "Compare the host with the studio",
    "Upload the generation",
    "Install packages",
    "Make the account",
    "Get the image of victoriametrics",
    "Get the image of hivemq",
    "Get the image of vector",
    "Get the image of hub",
    "Install the broker's extension",
    "Make the secrets",
    "Make the TLS certificate",
    "Let the components judge their configuration",
    "Switch to the generation",
    "Write the broker's accounts",
    "Restart what changed and wait until it is healthy",
]


@pytest.fixture
def bare() -> Iterator[StudioHost]:
    """A bare host: a booted Debian with the repository on it, and nothing of ours."""
    need_lab()
    host = LabHost("test-deploy-first")
    try:
        studio = StudioHost(host.up(fresh=True))
        studio.restore()
        yield studio
    finally:
        host.down()


def test_a_bare_system_becomes_a_studio_and_the_second_run_changes_nothing(bare: StudioHost) -> None:
    first = bare.must_deploy()
    assert first.results["totals"]["error"] == 0
    assert {"Install packages", "Make the account", "Make the secrets"} <= set(first.changed)
    told = bare.settled()
    bare.canary()

    second = bare.must_deploy()
    assert second.changed == []
    assert second.results["totals"]["success"] == 0
    assert second.results["totals"]["no_change"] == second.results["totals"]["hosts"]
    assert bare.pids() == {c["name"]: c["pid"] for c in told["components"]}

    bare.host.reboot()
    after = bare.host.exec("systemctl is-active monit prometheus-node-exporter", check=False).stdout.split()
    assert after == ["active", "active"]
    bare.canary()
    assert bare.must_deploy().changed == [], "a reboot loses nothing that a deploy would have to put right"


def test_killed_in_every_step_the_next_run_goes_on(bare: StudioHost) -> None:
    delays = (0.05, 0.4, 1.5)
    killed = [bare.killed_deploy(step, delays[n % len(delays)]) for n, step in enumerate(STEPS)]
    told = f"too few runs were killed: {dict(zip(STEPS, killed, strict=True))}\nthe last one said:\n{bare.killed_last}"
    assert sum(killed) >= 8, told
    bare.must_deploy()
    bare.settled()
    bare.canary()
    assert bare.must_deploy().changed == []
    assert bare.host.exec("ls -A /var/lib/sensor-pipeline/generations | grep '^\\.'", check=False).stdout == ""


def test_a_host_that_is_not_fit_is_told_everything_at_once_and_stays_as_it_was(bare: StudioHost) -> None:
    listener = "import socket,time; s=socket.create_server(('127.0.0.1', 8428)); time.sleep(300)"
    bare.host.exec(["systemd-run", "--quiet", "--unit=intruder", "python3", "-c", listener])
    bare.host.exec("useradd --system --uid 150 studio")
    bare.secrets.pop("STUDIO_SECRET_IRM_SHOP_URL")
    before = bare.untouched()
    done = bare.deploy()
    assert done.code == 1
    for text in (
        "port 8428 is needed for victoriametrics (http), but python3",
        "host.user is 'studio', a system account (uid 150)",
        "the secret irm-shop-url has no value: set STUDIO_SECRET_IRM_SHOP_URL",
        "nothing was changed",
    ):
        assert text in done.err
    assert "Traceback" not in done.err
    assert done.err.count("port 8428") == 1
    assert bare.untouched() == before


@pytest.mark.parametrize(
    ("studio", "inventory", "text"),
    [
        ("nowhere", None, "nowhere"),
        ("lab", "furnaces: [", "lab.yaml"),
        ("lab", "name: lab\nfurnaces:\n  - {id: main, low: 10, hihg: 20}\n", "hihg"),
    ],
)
def test_a_bad_inventory_is_refused_before_the_host_is_touched(
    bare: StudioHost, studio: str, inventory: str | None, text: str
) -> None:
    if inventory is not None:
        bare.host.write("/srv/repository/inventories/lab.yaml", inventory)
    before = bare.untouched()
    done = bare.deploy(STUDIO=studio)
    assert done.code == 2
    assert text in done.err
    assert "Traceback" not in done.err + done.out
    assert bare.untouched() == before
