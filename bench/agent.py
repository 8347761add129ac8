"""The device agent beside a bare paho client: start to first telemetry, memory at rest, many provisionings at once.

    python -m bench.agent [--json] [--hub-count 1000]
    python -m bench.agent --crowd 1000 < provision.json      nothing but 1,000 agents at the server named there

The servers are Mosquitto (telemetry) and the tests' stand-in for ThingsBoard (provisioning), all on loopback.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

from agent import config, folder, handshake, provision
from agent.credentials import Credentials
from agent.errors import AgentError
from agent.logs import open_log
from agent.request import read_request
from bench.table import Row, show

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from services.agent_broker import Broker, Listener, until  # noqa: E402
from services.agent_site import Site  # noqa: E402
from standins.thingsboard_standin import ThingsboardStandin  # noqa: E402

BARE: Final = """
import sys, time
import paho.mqtt.client as paho
client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="bare")
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_start()
client.publish("bare", "{}", 1).wait_for_publish()
time.sleep(60)
"""
THREADS: Final = 100
"""Agents in one process; more processes are started for more of them."""


def configured(directory: Path, port: int) -> Path:
    values = {
        "device_name": "bench",
        "mqtt": {"server": f"mqtt://127.0.0.1:{port}", "username": "bench"},
        "telemetry": {"interval_seconds": 10, "source": {"simulator": True}},
    }
    (directory / config.FILE).write_text(json.dumps(values))
    return directory


def first_message(command: list[str], listener: Listener, topic: str) -> tuple[float, dict[str, int]]:
    """Seconds from the start of a program to its first message, and its memory in kB a little later."""
    heard = len(listener.of(topic))
    begun = time.perf_counter()
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}  # as in the agent's unit
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment) as process:
        try:
            until(lambda: len(listener.of(topic)) > heard, 30)
            seconds = time.perf_counter() - begun
            time.sleep(1)
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            memory = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("Rss", "Pss:"))}
        finally:
            process.kill()
    return seconds, memory


def at_work(rounds: int) -> list[Row]:
    """Start to first telemetry, and memory, each beside the bare client's."""
    with tempfile.TemporaryDirectory() as made, Broker(Path(made)) as broker, Listener(broker.port) as listener:
        directory = configured(Path(made), broker.port)
        agent = [sys.executable, "-m", "agent", "run", "--dir", str(directory)]
        bare = [sys.executable, "-c", BARE, str(broker.port)]
        ours, peers = [], []
        for _ in range(rounds):
            ours.append(first_message(agent, listener, "camera/bench/telemetry"))
            peers.append(first_message(bare, listener, "bare"))
    seconds, peer_seconds = (statistics.median(s for s, _ in taken) for taken in (ours, peers))
    rows = [_seconds("start to first telemetry", seconds, peer_seconds, 2)]
    for key, goal in (("Rss", 25), ("Pss", None)):
        mine, other = (statistics.median(m[key] for _, m in taken) / 1024 for taken in (ours, peers))
        met = None if goal is None else mine < goal
        told = f"< {goal} MB" if goal else "-"
        rows.append(
            Row(f"memory at rest ({key})", f"{mine:.1f} MB", f"{other:.1f} MB", f"{mine / other:.2f}", told, met)
        )
    return rows


def _seconds(what: str, value: float, peer: float, goal: float) -> Row:
    return Row(what, f"{value:.2f} s", f"{peer:.2f} s", f"{value / peer:.2f}", f"< {goal:g} s", value < goal)


def _prepared(directory: Path, request: dict[str, str]) -> Path:
    directory.mkdir()
    (directory / "provision.txt").touch()
    (directory / "provision.json").write_text(json.dumps(request))
    return directory


def _request(port: int) -> dict[str, str]:
    return {
        "server": f"mqtt://127.0.0.1:{port}",
        "provision_device_key": "key",
        "provision_device_secret": "secret",
    }


def _whole(directory: Path, number: int) -> None:
    with folder.held(directory), Path(os.devnull).open("w") as nowhere:
        provision.provision(directory, open_log("json", stream=nowhere), provision.Pace(step=30), f"{number:012x}")


def _restarted(directory: Path, number: int) -> None:
    """As its unit does it: an agent that could not provision is started again after 5 s, and more each time."""
    for wait in (5, 10, 20, 40, 80):
        try:
            _whole(directory, number)
        except AgentError:
            time.sleep(wait)
        else:
            return
    _whole(directory, number)


def _bare(directory: Path, number: int) -> None:
    request = read_request(directory)
    wanted = Credentials("ACCESS_TOKEN", f"bare-{number}", f"token-{number}")
    with Path(os.devnull).open("w") as nowhere:
        handshake.ask(request, wanted, str(number), open_log("json", stream=nowhere), 30)


def _many(work: str, numbers: range, request: dict[str, str], ready: object, results: object) -> None:
    """One process: a thread for each agent, all let go at the same moment."""
    act = {"whole": _whole, "bare": _bare, "restarted": _restarted}[work]
    taken: list[float | None] = []
    with tempfile.TemporaryDirectory() as made:
        directories = [_prepared(Path(made) / str(number), request) for number in numbers]

        def one(directory: Path, number: int) -> None:
            begun = time.perf_counter()
            try:
                act(directory, number)
            except AgentError as error:
                print(error, file=sys.stderr)
                taken.append(None)
            else:
                taken.append(time.perf_counter() - begun)

        threads = [threading.Thread(target=one, args=pair) for pair in zip(directories, numbers, strict=True)]
        ready.wait()  # type: ignore[attr-defined]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    results.put(taken)  # type: ignore[attr-defined]


def at_once(work: str, count: int, request: dict[str, str]) -> tuple[list[float], int]:
    """Seconds of each of `count` agents provisioning at once, and how many failed."""
    spawn = multiprocessing.get_context("spawn")
    groups = [range(n, min(n + THREADS, count)) for n in range(0, count, THREADS)]
    ready, results = spawn.Barrier(len(groups)), spawn.Queue()
    children = [spawn.Process(target=_many, args=(work, g, request, ready, results)) for g in groups]
    for child in children:
        child.start()
    taken = [seconds for _ in children for seconds in results.get(timeout=600)]
    for child in children:
        child.join()
    good = [seconds for seconds in taken if seconds is not None]
    return good, len(taken) - len(good)


def at_thingsboard(work: str, count: int) -> list[float]:
    with ThingsboardStandin({"key": "secret"}) as server:
        taken, failed = at_once(work, count, _request(server.port))
        if failed or len(server.devices) != count:
            raise AssertionError(f"{failed} of {count} failed, {len(server.devices)} devices")
        return taken


def at_the_hub(count: int) -> list[float]:
    """The same with the hub and a broker that learns of each device a second later."""
    with tempfile.TemporaryDirectory() as made, Site(Path(made)).running() as site:
        key = json.loads(site.hub("provision-key", "create", "--kind", "camera", "--json"))
        request = {
            "server": f"mqtt://127.0.0.1:{site.provisioning}",
            "device_server": f"mqtt://127.0.0.1:{site.broker.port}",
            "provision_device_key": key["key"],
            "provision_device_secret": key["secret"],
        }
        taken, failed = at_once("restarted", count, request)
        devices = len(site.ask("/admin/devices?limit=1000"))
        if not len(taken) <= devices <= count:
            raise AssertionError(f"{count - failed} agents provisioned, {devices} devices")
        return taken


def many(counts: tuple[int, ...], hub_count: int) -> list[Row]:
    """p50 and p99 of provisionings at once.

    The peer is the handshake alone, without files and without the proof; for the hub, the same agents at the stand-in.
    """
    rows = []
    for count in counts:
        peer, ours = at_thingsboard("bare", count), at_thingsboard("whole", count)
        rows += _percentiles(f"{count:,} provisionings at once", ours, peer)
    peer, ours = at_thingsboard("whole", hub_count), at_the_hub(hub_count)
    done = f"{len(ours):,} of {hub_count:,}"
    rows.append(Row("provisioned at the hub at once", done, "-", "-", "all", len(ours) == hub_count))
    return [*rows, *_percentiles(f"{hub_count:,} provisionings at once at the hub", ours, peer)]


def _percentiles(what: str, taken: list[float], peer: list[float]) -> list[Row]:
    rows = []
    for name, percent in (("p50", 50), ("p99", 99)):
        mine, other = (statistics.quantiles(some, n=100)[percent - 1] for some in (taken, peer))
        rows.append(_seconds(f"{what}, {name}", mine, other, 30))
    return rows


def crowd(count: int, request: dict[str, str]) -> dict[str, float]:
    """Agents at once at a server of one's own: how many were provisioned, how many not, p50 and p99 in s."""
    taken, failed = at_once("restarted", count, request)
    cuts = statistics.quantiles(taken, n=100) if len(taken) > 1 else [0.0] * 99
    return {"provisioned": len(taken), "failed": failed, "p50": round(cuts[49], 2), "p99": round(cuts[98], 2)}


def measure(rounds: int = 5, counts: tuple[int, ...] = (100, 1000), hub_count: int = 100) -> list[Row]:
    return [*at_work(rounds), *many(counts, hub_count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--hub-count", type=int, default=100, help="agents at once at the hub (default: 100)")
    parser.add_argument("--crowd", type=int, metavar="COUNT", help="agents at once at the server in provision.json")
    options = parser.parse_args()
    if options.crowd:
        print(json.dumps(crowd(options.crowd, json.load(sys.stdin))))
        return
    show("Device agent", measure(hub_count=options.hub_count), as_json=options.json)


if __name__ == "__main__":
    main()
