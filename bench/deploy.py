"""A deploy against its peers on one lab host: ansible-core doing the same, and a pyinfra run that does nothing."""

import json
import shutil
import subprocess
import time
from typing import Any, Final

import yaml

from bench import ansible
from bench.measure import Timing, in_turns
from bench.table import Row
from lab import guest, mounts, state
from lab.host import LabHost
from lab.run import LabError, step
from lab.studio_host import USER_SECRETS
from studio.model.loader import load_studio
from studio.paths import INVENTORIES
from studio.render import render

HOME: Final = "/var/tmp/bench"  # noqa: S108 - in the guest, which is thrown away
PYINFRA: Final = "/opt/venv/bin/pyinfra"
EMPTY: Final = 'from pyinfra.operations import server\n\nserver.shell(name="nothing", commands=["true"])\n'
COLD_GOAL: Final = 20.0
WIPE: Final = """
systemctl stop monit prometheus-node-exporter
runuser -u studio -- env HOME=/home/studio XDG_RUNTIME_DIR=/run/user/$(id -u studio) sh -c '
  cd / && systemctl --user stop "*.service" --all 2>/dev/null
  podman rm --all --force --time 5 && podman volume rm --all --force && podman secret rm --all' >/dev/null 2>&1
rm -rf /etc/containers/systemd/users /etc/systemd/system/monit.service.d /var/lib/sensor-pipeline
rm -rf /etc/systemd/system/prometheus-node-exporter.service.d /run/sensor-pipeline
systemctl daemon-reload
"""


class Bench:
    """One lab host, two states of one studio (they differ in one alert rule's limit), and both tools ready to run."""

    def __init__(self, host: LabHost) -> None:
        self.host = host
        self.place = mounts.plain_folder(state.folder(host.name), "var/tmp") / "bench"
        self.turn = 0

    def prepare(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()
        inventory: dict[str, Any] = yaml.safe_load((INVENTORIES / "lab.yaml").read_text())
        for name, high in (("a", 1180), ("b", 1181)):
            inventory["furnaces"][0]["high"] = high
            file = self.place / name / "lab.yaml"
            file.parent.mkdir()
            file.write_text(yaml.safe_dump(inventory))
            bundle = render(load_studio(file))
            bundle.write(self.place / f"source-{name}")
            (self.place / "play.yml").write_text(ansible.playbook(bundle, HOME))
        (self.place / "ansible.cfg").write_text(ansible.CONFIG)
        (self.place / "empty").mkdir()
        (self.place / "empty" / "deploy.py").write_text(EMPTY)
        ansible.install(self.place / "packages")

    def run(self, argv: list[str], cwd: str, **environment: str) -> None:
        """Run a command in the guest; raises LabError with what it said when it fails."""
        entered = guest.enter(self.host.name, argv, {"PYTHONPYCACHEPREFIX": f"{HOME}/bytecode", **environment}, cwd=cwd)
        done = subprocess.run(
            entered, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=600
        )
        if done.returncode:
            raise LabError(f"{' '.join(argv)} failed:\n{(done.stdout + done.stderr)[-3000:]}")

    def ours(self, which: str = "a") -> None:
        studio = f"studio={HOME}/{which}/lab.yaml"
        self.run(
            [PYINFRA, "@local", "deploy.py", "-y", "--data", studio], "/opt/sensor-pipeline/pyinfra", **USER_SECRETS
        )

    def empty(self) -> None:
        self.run([PYINFRA, "@local", "deploy.py", "-y"], f"{HOME}/empty")

    def theirs(self, which: str = "a") -> None:
        source = f"source={HOME}/source-{which}"
        argv = ["/usr/bin/python3", "-m", "ansible.cli.playbook", "-i", "localhost,", "play.yml", "-e", source]
        self.run(argv, HOME, PYTHONPATH=f"{HOME}/packages", ANSIBLE_CONFIG=f"{HOME}/ansible.cfg")

    def changed(self, run: Any) -> None:
        """A run with the other of the two states, so that one rule file differs."""
        run("ab"[self.turn % 2])

    def cold(self) -> float:
        """Seconds of a deploy on a host with packages, account and images, and nothing else of ours."""
        self.host.exec(WIPE)
        begin = time.perf_counter()
        self.ours()
        return time.perf_counter() - begin


def _faster(what: str, ours: Timing, peer: Timing, goal: float) -> Row:
    ratio = peer.median / ours.median
    return Row(what, _shown(ours), f"{peer.name}: {_shown(peer)}", f"{ratio:.1f}", f">= {goal:g} times", ratio >= goal)


def _cost(what: str, ours: Timing, peer: Timing, goal: float) -> Row:
    ratio = ours.median / peer.median
    return Row(what, _shown(ours), f"{peer.name}: {_shown(peer)}", f"{ratio:.2f}", f"<= {goal:g} of it", ratio <= goal)


def _shown(timing: Timing) -> str:
    return f"{timing.median:.2f} s ({timing.spread})"


def measure(rounds: int = 5) -> list[Row]:
    """Rows: unchanged, one file changed, cold, and each service's memory at rest."""
    host = LabHost("bench")
    try:
        with step("a host, deployed by both"):
            bench = Bench(host.up(fresh=True))
            bench.prepare()
            bench.ours()
            bench.theirs()
        with step("unchanged"):
            still = in_turns(
                {"sensor-pipeline": bench.ours, "ansible": bench.theirs, "empty pyinfra": bench.empty}, rounds
            )
        with step("one file changed"):
            moved: dict[str, list[float]] = {"sensor-pipeline": [], "ansible": []}
            for bench.turn in range(1, rounds + 1):
                for name, run in (("sensor-pipeline", bench.ours), ("ansible", bench.theirs)):
                    begin = time.perf_counter()
                    bench.changed(run)
                    moved[name].append(time.perf_counter() - begin)
        with step("cold"):
            cold = bench.cold()
        return [*_rows(still, {n: Timing(n, tuple(s)) for n, s in moved.items()}, cold), *_memory(bench)]
    finally:
        host.down()


def _rows(still: dict[str, Timing], moved: dict[str, Timing], cold: float) -> list[Row]:
    return [
        _faster("unchanged deploy", still["sensor-pipeline"], still["ansible"], 20),
        _cost("unchanged deploy", still["sensor-pipeline"], still["empty pyinfra"], 1.5),
        _faster("one file changed", moved["sensor-pipeline"], moved["ansible"], 20),
        Row("cold deploy, images present", f"{cold:.1f} s", "-", "-", f"<= {COLD_GOAL:g} s", cold <= COLD_GOAL),
    ]


def _memory(bench: Bench) -> list[Row]:
    """Resident memory a minute after the start, without load."""
    time.sleep(60)
    told = json.loads(bench.host.exec(["/var/lib/sensor-pipeline/current/bin/hostctl", "status", "--json"]).stdout)
    rows = []
    for component in told["components"]:
        stand_in = " (stand-in)" if component["stand_in"] else ""
        memory = f"{component['memory_bytes'] / 1e6:.0f} MB"
        rows.append(Row(f"memory of {component['name']}{stand_in} at rest", memory, "-", "-", "-", None))
    return rows
