"""Each thing that is broken on a real host is found by exactly the check that is about it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from deploy_support import StudioHost
from verify_support import Verified, verify

pytestmark = pytest.mark.lab

BASE = "/var/lib/sensor-pipeline"
AS_STUDIO = "cd / && runuser -u studio -- env XDG_RUNTIME_DIR=/run/user/$(id -u studio)"
UNFINISHED = ("nothing is unfinished", "")


@contextmanager
def broken(studio: StudioHost, how: str, mend: str) -> Iterator[None]:
    studio.host.exec(how)
    try:
        yield
    finally:
        studio.host.exec(mend)


def until(studio: StudioHost, wanted: Callable[[Verified], bool], seconds: float = 60) -> Verified:
    """The first verification that is as wanted, or the last one."""
    end = time.monotonic() + seconds
    found = verify(studio)
    while not wanted(found) and time.monotonic() < end:
        time.sleep(1)
        found = verify(studio)
    return found


@pytest.fixture(autouse=True)
def whole(studio: StudioHost) -> None:
    """Every test begins on a host on which nothing is wrong."""
    found = until(studio, lambda v: not v.failed, 120)
    assert found.failed == set(), [r for r in found.results if r["outcome"] == "failed"]


def test_a_deployed_studio_is_as_its_inventory_says(studio: StudioHost) -> None:
    found = verify(studio)
    assert found.code == 0
    assert len(found.results) > 120
    may_wait = {"furnace sends", "canary comes through", "monit finds nothing wrong"}
    may_wait |= {"scrape targets are up", "rules are evaluated"}
    assert {check for check, _ in found.keys("waiting")} <= may_wait


def test_a_stopped_unit(studio: StudioHost) -> None:
    unit = f"{AS_STUDIO} systemctl --user"
    with broken(studio, f"{unit} stop vmalert.service", f"{unit} start vmalert.service"):
        found = verify(studio)
    assert found.code == 1
    assert ("unit is active", "vmalert") in found.failed
    about_it = {"rules are loaded", "rules are evaluated", "scrape targets are up", UNFINISHED[0]}
    assert {f for f in found.failed if f[1] != "vmalert" and f[0] not in about_it} == set()


def test_monit_stopped(studio: StudioHost) -> None:
    with broken(studio, "systemctl stop monit", "systemctl start monit"):
        found = verify(studio)
    monit = {("monit watches what is declared", ""), ("monit finds nothing wrong", "")}
    assert found.failed - {UNFINISHED} == {("unit is active", "monit"), *monit}


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1"])
def test_a_listener_of_the_studios_account_that_is_not_declared(studio: StudioHost, address: str) -> None:
    listen = f"systemd-run --quiet --unit=test-listener --uid=studio python3 -m http.server 8099 --bind {address}"
    with broken(
        studio, f"{listen}; until ss -Htln | grep -q :8099; do sleep 0.1; done", "systemctl stop test-listener"
    ):
        found = verify(studio)
    assert found.failed == {("nothing listens that is not declared", "")}
    detail = found.detail("nothing listens that is not declared")
    assert detail == f"not declared: python3 on {address}:8099/tcp"


def test_somebody_elses_listener_is_no_business_of_ours(studio: StudioHost) -> None:
    listen = "systemd-run --quiet --unit=test-listener python3 -m http.server 8099 --bind 127.0.0.1"
    with broken(
        studio, f"{listen}; until ss -Htln | grep -q :8099; do sleep 0.1; done", "systemctl stop test-listener"
    ):
        assert verify(studio).failed == set()


def test_a_secret_that_others_may_read(studio: StudioHost) -> None:
    file = f"{BASE}/secrets/broker-monit"
    with broken(studio, f"chmod 0644 {file}", f"chmod 0600 {file}"):
        found = verify(studio)
    assert found.failed == {("secrets are for root alone", "")}
    assert found.detail("secrets are for root alone") == "secrets/broker-monit is 0644 of 0"


def test_a_file_of_the_generation_that_others_may_write(studio: StudioHost) -> None:
    file = f"{BASE}/current/promtail/promtail-provisioning.yaml"
    with broken(studio, f"chmod 0666 {file}", f"chmod 0644 {file}"):
        found = verify(studio)
    assert found.failed - {UNFINISHED} == {("generation belongs to root with the right modes", "")}


def test_a_file_of_the_generation_that_was_changed(studio: StudioHost) -> None:
    file = f"{BASE}/current/promtail/promtail-provisioning.yaml"
    with broken(studio, f"cp -p {file} /root/kept; echo '# tampered' >> {file}", f"cp -p /root/kept {file}"):
        found = verify(studio)
    assert found.failed - {UNFINISHED} == {("generation is unchanged", "")}
    assert "promtail/promtail-provisioning.yaml" in found.detail("generation is unchanged")


def test_a_right_too_much_at_the_broker(studio: StudioHost) -> None:
    """The extension takes the changed file over by itself within seconds."""
    file = f"{BASE}/state/hivemq-rbac/credentials.xml"
    loosen = f"cp -p {file} /root/kept; sed -i 's,<topic>plant/fern/cmd/#</topic>,<topic>#</topic>,' {file}"
    more = ("account may not read more", "device-fern")
    with broken(studio, f"{loosen}; grep -c '<topic>#</topic>' {file}", f"cp -p /root/kept {file}"):
        found = until(studio, lambda v: more in v.failed, 30)
    assert found.failed - {UNFINISHED} == {more}
    assert "#" in found.detail(*more)


def test_a_scrape_target_dropped(studio: StudioHost) -> None:
    """VictoriaMetrics reads its targets anew when it is told to."""
    file = f"{BASE}/current/victoriametrics/scrape.yml"
    told = f"{AS_STUDIO} podman kill --signal HUP victoriametrics"
    drop = f"cp -p {file} /root/kept; sed -i s/127.0.0.1:9598/127.0.0.1:9597/ {file}; {told}"
    with broken(studio, drop, f"cp -p /root/kept {file}; {told}"):
        found = until(studio, lambda v: ("scrape targets are up", "") in v.failed, 60)
    assert found.failed - {UNFINISHED} == {("scrape targets are up", ""), ("generation is unchanged", "")}
    assert found.detail("scrape targets are up").startswith("vector: ")


def test_the_firewall_flushed(studio: StudioHost) -> None:
    restore = f"nft -f {BASE}/current/nftables/sensor-pipeline.nft"
    with broken(studio, "nft delete table inet sensor_pipeline", restore):
        found = verify(studio)
    assert found.failed - {UNFINISHED} == {("firewall is loaded", "")}


def test_linger_lost(studio: StudioHost) -> None:
    """All services end with the account's last session, ten seconds after it: what else fails depends on the pace."""
    with broken(studio, "rm /var/lib/systemd/linger/studio", "loginctl enable-linger studio"):
        found = verify(studio)
    assert ("account exists and lingers", "") in found.failed


def test_a_package_removed_behind_our_back(studio: StudioHost) -> None:
    with broken(studio, "dpkg --force-depends --remove passt", "apt-get install -yq passt"):
        found = verify(studio)
    assert found.failed - {UNFINISHED} == {("packages are installed", "")}
    assert found.detail("packages are installed") == "not installed: passt"


def test_a_secret_in_an_environment(studio: StudioHost) -> None:
    secret = f"$({BASE}/current/bin/hostctl secrets show broker-hub)"
    leak = f"LEAK={secret} setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $! > /root/leak.pid"
    with broken(studio, leak, "kill $(cat /root/leak.pid)"):
        found = verify(studio)
    assert found.failed == {("no secret is to be seen in", "environments")}
    detail = found.detail("no secret is to be seen in", "environments")
    assert detail.startswith("broker-hub: sleep ")


def test_a_secret_in_an_argument_list(studio: StudioHost) -> None:
    secret = f"$({BASE}/current/bin/hostctl secrets show broker-hub)"
    leak = f"setsid sh -c 'sleep 300; : {secret}' </dev/null >/dev/null 2>&1 & echo $! > /root/leak.pid"
    with broken(studio, leak.replace("'", '"'), "kill -- -$(cat /root/leak.pid)"):
        found = verify(studio)
    assert found.failed == {("no secret is to be seen in", "command lines")}


def test_a_secret_in_the_journal_until_it_is_rotated(studio: StudioHost) -> None:
    hostctl = f"{BASE}/current/bin/hostctl"
    with broken(studio, f"logger leaked: $({hostctl} secrets show broker-hub)", f"{hostctl} secrets rotate broker-hub"):
        found = verify(studio)
    assert found.failed == {("no secret is to be seen in", "journal")}
    assert found.detail("no secret is to be seen in", "journal") == "broker-hub: journal"
