"""What a studio's host gets over by itself, each within the time that docs/runbook.md promises.

The promises are read from the runbook's table, so that there is one place to change them. A power cut here ends every
process at once; what the kernel has not written to the disk yet is not lost by it, as it would be at a real one.
"""

import json
import re
import time
from dataclasses import dataclass

import pytest
import requests
from deploy_support import StudioHost

from lab import studio_host
from studio.paths import ROOT

pytestmark = pytest.mark.lab

CONTAINERS = ("victoriametrics", "hivemq", "vector", "vmalert", "alertmanager", "hub")
HOST_SERVICES = {"monit": "monit", "node_exporter": "prometheus-node-exporter"}
NAMES = {"victoriametrics": "VictoriaMetrics", "hivemq": "HiveMQ", "vector": "Vector", "alertmanager": "Alertmanager"}
AS_STUDIO = "runuser -u studio -- env XDG_RUNTIME_DIR=/run/user/$(id -u studio) systemctl --user"
SHOW = "show -p Id,ActiveState,MainPID,InvocationID"
POWER_CUT_LOSES = 15  # seconds of data, as the runbook says under "A reboot, a power cut"
STARTED = "39f53479d3a045ac8e11786248231fbf"  # systemd's message "the unit is started"


def promise(row: str) -> int:
    """The seconds that the runbook's row about `row` promises."""
    rows = re.findall(r"^\| ([^|]+) \| (\d+) (s|min)\b[^|]* \| [^|]+ \|$", (ROOT / "docs/runbook.md").read_text(), re.M)
    found = [int(n) * {"s": 1, "min": 60}[unit] for what, n, unit in rows if row in what.split(", ")]
    assert len(found) == 1, f"docs/runbook.md promises {len(found)} times about {row!r}"
    return found[0]


@dataclass(frozen=True)
class Service:
    """A service as it runs: its own process, and the one that systemd watches (a container's conmon)."""

    state: str
    pid: int
    watched: int
    run: str

    @property
    def up(self) -> bool:
        return self.state == "active" and self.pid > 0


def services(studio: StudioHost) -> dict[str, Service]:
    """Every service of the studio by its component's name. A container counts as active when it is healthy."""
    mine, hosts = (" ".join(units) for units in (CONTAINERS, HOST_SERVICES.values()))
    ask = f"{AS_STUDIO} {SHOW} {mine}; echo; systemctl {SHOW} {hosts}; echo; ps -eo ppid=,pid=,comm="
    *blocks, processes = studio.host.exec(ask).stdout.strip("\n").split("\n\n")
    shown = [dict(line.split("=", 1) for line in block.splitlines() if line) for block in blocks]
    # conmon's other children: what starts the program, and what clears up after it
    lines = [line.split(None, 2) for line in processes.splitlines()]
    children = {int(parent): int(pid) for parent, pid, name in lines if name not in {"crun", "podman"}}
    names = {f"{unit}.service": name for name, unit in HOST_SERVICES.items()}
    # without the account's systemd there is none of its units
    found = dict.fromkeys(CONTAINERS, Service("gone", 0, 0, ""))
    for unit in shown:
        name, watched = names.get(unit["Id"]), int(unit["MainPID"])
        pid = watched if name else children.get(watched, 0)
        name = name or unit["Id"].removesuffix(".service")
        found[name] = Service(unit["ActiveState"], pid, watched, unit["InvocationID"])
    assert found.keys() == {*CONTAINERS, *HOST_SERVICES}
    return found


def all_up(studio: StudioHost, seconds: float) -> dict[str, Service]:
    """The services, once all are up; fails by name when one is not in time."""
    until = time.monotonic() + seconds
    while down := [name for name, service in services(studio).items() if not service.up]:
        assert time.monotonic() < until, f"not up within {seconds:g} s: {down}"
        time.sleep(0.2)
    return services(studio)


def others(found: dict[str, Service], *names: str) -> dict[str, Service]:
    return {name: service for name, service in found.items() if name not in names}


def came_back(studio: StudioHost, name: str, before: dict[str, Service], seconds: float) -> None:
    """Return when a service runs again as another process; fails when it is not in time, or when another one did."""
    began = time.monotonic()
    while not (now := services(studio)[name]).up or now.run == before[name].run:
        assert time.monotonic() - began < seconds, f"{name} is not back within {seconds:g} s: {now}"
        time.sleep(0.2)
    print(f"{name} is back after {time.monotonic() - began:.1f} s of {seconds:g} s")
    assert now.pid != before[name].pid
    assert others(services(studio), name) == others(before, name)


@pytest.fixture(scope="module", autouse=True)
def fed(studio: StudioHost) -> None:
    """The simulated studio sends all the while."""
    studio_host.start_feed(studio.host, studio_host.studio_of(studio.host))


@pytest.fixture(autouse=True)
def before(studio: StudioHost) -> dict[str, Service]:
    """Every test begins when everything is up."""
    return all_up(studio, 60)


@pytest.mark.parametrize("name", [*CONTAINERS, *HOST_SERVICES])
def test_a_killed_service_is_back_and_no_other_restarts(
    studio: StudioHost, before: dict[str, Service], name: str
) -> None:
    studio.host.exec(["kill", "-9", str(before[name].pid)])
    came_back(studio, name, before, promise(NAMES.get(name, name)))


def test_a_container_whose_conmon_is_killed_is_back(studio: StudioHost, before: dict[str, Service]) -> None:
    """And its old process does not go on beside the new one."""
    studio.host.exec(["kill", "-9", str(before["vector"].watched)])
    came_back(studio, "vector", before, promise("Vector"))
    assert studio.host.exec(["test", "-e", f"/proc/{before['vector'].pid}"], check=False).returncode == 1


def test_the_answers_after_all_that(studio: StudioHost) -> None:
    """Data go all the way, the host's metrics are there, and monit answers."""
    studio.canary()
    requests.get(f"http://127.0.0.1:{studio.host.port(9100)}/metrics", timeout=10).raise_for_status()
    summary = studio.host.exec(["monit", "-c", "/var/lib/sensor-pipeline/current/monit/monitrc", "summary", "-B"])
    assert "mqtt-canary" in summary.stdout


def test_monit_starts_what_was_stopped_by_hand_once(studio: StudioHost, before: dict[str, Service]) -> None:
    stopped = ("vector", "vmalert")
    began = time.monotonic()
    since = int(time.time())
    studio.host.exec(f"{AS_STUDIO} stop {' '.join(stopped)}")
    assert {name: services(studio)[name].state for name in stopped} == dict.fromkeys(stopped, "inactive")
    after = all_up(studio, promise("a service stopped by hand"))
    print(f"all back after {time.monotonic() - began:.1f} s")
    assert others(after, *stopped) == others(before, *stopped)
    # Two checks of monit see it: they must not restart it one after the other.
    time.sleep(35)
    assert services(studio) == after
    for name in stopped:
        journal = ["journalctl", "-q", "-o", "cat", f"--since=@{since}", f"MESSAGE_ID={STARTED}"]
        said = studio.host.exec([*journal, f"USER_UNIT={name}.service"]).stdout.splitlines()
        assert len(said) == 1, said


def test_the_accounts_systemd_killed(studio: StudioHost, before: dict[str, Service]) -> None:
    """All containers end with it and come back; the host's services do not notice."""
    began = time.monotonic()
    manager = studio.host.exec("systemctl show -p MainPID --value user@$(id -u studio)").stdout.strip()
    studio.host.exec(["kill", "-9", manager])
    until = began + promise("the account's systemd with all containers")
    while (now := services(studio)) and any(now[n].run == before[n].run or not now[n].up for n in CONTAINERS):
        assert time.monotonic() < until, f"not back: {now}"
        time.sleep(0.5)
    print(f"all back after {time.monotonic() - began:.1f} s")
    assert others(services(studio), *CONTAINERS) == others(before, *CONTAINERS)
    studio.canary()


def stored(studio: StudioHost) -> dict[int, float]:
    """Every temperature of the main furnace that VictoriaMetrics has, by its time in ms."""
    url = f"http://127.0.0.1:{studio.host.port(8428)}/api/v1/export"
    answer = requests.get(url, params={"match[]": 'furnace_furnace_temp{furnace="main"}'}, timeout=20)
    answer.raise_for_status()
    rows = [json.loads(line) for line in answer.text.splitlines()]
    return {t: v for row in rows for t, v in zip(row["timestamps"], row["values"], strict=True)}


def feeding_goes_on(studio: StudioHost, since: float) -> None:
    """Return when a temperature of `since` (epoch seconds) or later is stored."""
    until = time.monotonic() + 30
    while max(stored(studio), default=0) < since * 1000:
        assert time.monotonic() < until, "no temperature is stored any more"
        time.sleep(0.5)


def test_after_a_reboot_everything_is_back_and_nothing_is_lost(studio: StudioHost) -> None:
    feeding_goes_on(studio, time.time())
    kept = stored(studio)
    assert len(kept) > 10
    studio.host.reboot(timeout=promise("everything after a reboot or a power cut"))
    began = time.monotonic()
    up = time.time()
    all_up(studio, promise("everything after a reboot or a power cut"))
    print(f"all back {time.monotonic() - began:.1f} s after the host was up")
    assert kept.items() <= stored(studio).items()
    feeding_goes_on(studio, up)
    studio.canary()


def test_after_a_power_cut_everything_is_back_and_only_the_last_seconds_are_lost(studio: StudioHost) -> None:
    feeding_goes_on(studio, time.time())
    kept = stored(studio)
    cut = time.time()
    studio.host.cut_power()
    studio.host.up()
    began = time.monotonic()
    up = time.time()
    all_up(studio, promise("everything after a reboot or a power cut"))
    print(f"all back {time.monotonic() - began:.1f} s after the host was up")
    feeding_goes_on(studio, up)
    now = stored(studio)
    lost = sorted(cut - t / 1000 for t in kept.keys() - now.keys())
    print(f"lost, by age at the cut: {[f'{age:.1f} s' for age in lost]}")
    assert all(age <= POWER_CUT_LOSES for age in lost), lost
    studio.canary()
