"""One agent beside a bare paho client, both over TLS: start to first telemetry, and memory at rest.

The agent is unpacked as a deploy does it on a camera, and run by the system's Python as its unit runs it.
"""

import base64
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from agent import config
from bench.table import Row, seconds
from devicectl import version
from devicectl.paths import Paths
from studio.devices.package import package

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from services import agent_certificates
from services.agent_broker import Broker, Listener, until

from lab.ports import free_port

BARE: Final = """
import ssl, sys, time
sys.path.insert(0, sys.argv[1])
import paho.mqtt.client as paho
client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="bare")
client.tls_set(sys.argv[2])
client.connect("127.0.0.1", int(sys.argv[3]))
client.loop_start()
client.publish("bare", "{}", 1).wait_for_publish()
time.sleep(60)
"""
SOURCE: Final = {"command": ["echo", '{"temp_max": 511.25, "temp_min": 430.5, "temp_mean": 480.75}']}
GOAL_MB: Final = 25
SETTLED_SECONDS: Final = 3


class Memory:
    """kB of a process, of /proc/PID/smaps_rollup."""

    def __init__(self, pid: int) -> None:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        told = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        self.mb = {
            "all that it maps, Rss": told["Rss"] / 1024,
            "its share of it, Pss": told["Pss"] / 1024,
            "its own, USS": (told["Private_Clean"] + told["Private_Dirty"]) / 1024,
            "neither file nor shared": told["Anonymous"] / 1024,
        }


def _python() -> str:
    return shutil.which("python3", path="/usr/bin") or sys.executable


def _installed(folder: Path) -> Path:
    """The agent's version as it is put on a camera, compiled for the Python that will run it."""
    bundle = package((folder / "ca.crt").read_bytes())
    paths = Paths(folder / "root")
    version.put(paths, bundle.generation, base64.b64encode(bundle.tar_gz()).decode())
    installed = paths.versions / bundle.generation
    subprocess.run([_python(), "-m", "compileall", "-q", installed / "lib"], check=True)
    return installed


def _configured(folder: Path, port: int) -> Path:
    values = {
        "device_name": "bench",
        "mqtt": {"server": f"mqtts://127.0.0.1:{port}", "username": "bench", "ca_certificate": str(folder / "ca.crt")},
        "telemetry": {"interval_seconds": 1, "source": SOURCE},
    }
    made = folder / "agent"
    made.mkdir()
    (made / config.FILE).write_text(json.dumps(values))
    return made


def _first_message(command: list[str], listener: Listener, topic: str) -> tuple[float, Memory]:
    """Seconds from the start of a program to its first message, and its memory a little later."""
    heard = len(listener.of(topic))
    begun = time.perf_counter()
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}  # as in the agent's unit
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            until(lambda: len(listener.of(topic)) > heard, 30)
            taken = time.perf_counter() - begun
            time.sleep(SETTLED_SECONDS)
            return taken, Memory(process.pid)
        finally:
            process.kill()


def at_work(rounds: int) -> list[Row]:
    """Start to first telemetry, and memory, each beside the bare client's."""
    with tempfile.TemporaryDirectory() as made:
        folder, plain = Path(made), free_port()
        agent_certificates.make(folder, "ca")
        agent_certificates.make(folder, "server", "ca")
        tls = f"certfile {folder}/server.crt\nkeyfile {folder}/server.key\nlistener {plain} 127.0.0.1"
        with Broker(folder, tls) as broker, Listener(plain) as listener:
            installed, directory = _installed(folder), _configured(folder, broker.port)
            agent = [_python(), "-IS", f"{installed}/bin/studio-agent", "run", "--dir", str(directory)]
            bare = [_python(), "-IS", "-c", BARE, f"{installed}/lib", f"{folder}/ca.crt", str(broker.port)]
            turns = [
                (_first_message(agent, listener, "camera/bench/telemetry"), _first_message(bare, listener, "bare"))
                for _ in range(rounds)
            ]
    ours, peers = zip(*turns, strict=True)
    start, peer_start = (statistics.median(taken for taken, _ in some) for some in (ours, peers))
    rows = [seconds("start to first telemetry", start, peer_start, 2)]
    for kind in ours[0][1].mb:
        mine, other = (statistics.median(memory.mb[kind] for _, memory in some) for some in (ours, peers))
        goal, met = (f"< {GOAL_MB} MB", mine < GOAL_MB) if "Rss" in kind else ("-", None)
        row = Row(f"memory at rest: {kind}", f"{mine:.1f} MB", f"{other:.1f} MB", f"{mine / other:.2f}", goal, met)
        rows.append(row)
    return rows
