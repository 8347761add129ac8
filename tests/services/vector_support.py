"""The pipeline on loopback: a real broker, a real VictoriaMetrics, and the lab's Vector, out of the lab's images.

Each program runs from the lab's image of it by chroot, on ports of its own, with its files in a folder below that root.
Vector's stand-in runs in this Python when that is new enough for vector-vrl.
"""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
import pytest
import requests
from paho.mqtt.enums import CallbackAPIVersion

from lab.build import build_all
from lab.paths import LAB, images_dir, lab_dir
from lab.run import wait_for
from studio.model import Studio
from studio.render.vector import MAX_PACKET_BYTES, render_vector
from studio.render.victoriametrics import LATENCY_SECONDS

STANDIN = LAB / "standins/vector"


@cache
def root_of(component: str) -> Path:
    """The lab's image of a component, unpacked (once, by the digest of its manifest); built when it is not."""
    if os.geteuid() != 0:
        pytest.fail("this test runs programs out of the lab's images by chroot, which needs root")
    archive = images_dir() / f"{component}.tar"
    if not archive.exists():
        build_all()
    with tarfile.open(archive) as tar:

        def blob(name: str) -> Any:
            file = tar.extractfile(name)
            assert file is not None
            return file

        digest = json.load(blob("index.json"))["manifests"][0]["digest"]
        root = lab_dir() / "roots" / f"{component}-{digest.removeprefix('sha256:')[:16]}"
        if root.exists():
            return root
        unpacked = root.with_name(f"{root.name}.{os.getpid()}")
        unpacked.mkdir(parents=True)
        manifest = json.load(blob(f"blobs/{digest.replace(':', '/')}"))
        for layer in manifest["layers"]:
            content = blob(f"blobs/{layer['digest'].replace(':', '/')}")
            subprocess.run(["tar", "-x", "-C", unpacked], stdin=_pipe(content), check=True)
    try:
        unpacked.rename(root)
    except OSError:
        shutil.rmtree(unpacked)
    for older in root.parent.glob(f"{component}-*"):
        if older != root and not any(older.glob("srv/*")):
            shutil.rmtree(older)
    return root


def _pipe(content: Any) -> int:
    """A file descriptor to read the content from."""
    file = os.memfd_create("layer")
    with os.fdopen(os.dup(file), "wb") as out:
        shutil.copyfileobj(content, out)
    os.lseek(file, 0, os.SEEK_SET)
    return file


@dataclass
class Place:
    """Where a program runs: the root it sees, and a folder in it for its files ("" is this machine's own root)."""

    root: Path
    folder: Path

    def seen(self, path: Path) -> str:
        """A path as the program sees it."""
        return "/" + str(path.relative_to(self.root))

    def command(self, *argv: str) -> list[str]:
        return list(argv) if self.root == Path("/") else ["chroot", str(self.root), *argv]


@contextmanager
def place(component: str) -> Iterator[Place]:
    root = root_of(component)
    folder = root / "srv" / f"{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir(parents=True)
    try:
        yield Place(root, folder)
    finally:
        shutil.rmtree(folder)


@dataclass
class VrlPython:
    """A Python with vector-vrl, and how to run Vector's stand-in with it."""

    place: Place
    python: str
    environment: dict[str, str]

    def vector(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the stand-in to its end."""
        command = self.argv(*argv)
        return subprocess.run(command, check=False, env=self.environment, capture_output=True, text=True, timeout=120)

    def argv(self, *argv: str) -> list[str]:
        return self.place.command(self.python, "-m", "vector_standin", *argv)


@contextmanager
def vrl_python(folder: Path) -> Iterator[VrlPython]:
    """This Python when it has vector-vrl; else the one of the lab's image, with this repository's stand-in."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    python = os.environ.get("VRL_PYTHON") or (sys.executable if importlib.util.find_spec("vector_vrl") else None)
    if python:
        yield VrlPython(Place(Path("/"), folder), python, {**environment, "PYTHONPATH": str(STANDIN)})
        return
    with place("vector") as there:
        shutil.copytree(STANDIN / "vector_standin", there.folder / "code/vector_standin")
        packages = "/usr/local/lib/vector-standin/packages"
        paths = f"{there.seen(there.folder)}/code:{packages}"
        yield VrlPython(there, "/usr/bin/python3", {**environment, "PYTHONPATH": paths})


def write_vector(studio: Studio, place: Place) -> dict[str, str]:
    """Write what is rendered for Vector, its secret and its data folder; the files' paths as the program sees them."""
    folder = place.folder / "vector-host"
    for part in ("vector", "secrets", "data"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "secrets/broker-vector").write_text("test-password\n")
    moved = {
        b"/etc/vector": place.seen(folder / "vector"),
        b"/run/secrets": place.seen(folder / "secrets"),
        b"/var/lib/vector": place.seen(folder / "data"),
    }
    for path, artifact in render_vector(studio).items():
        content = artifact.content
        for old, new in moved.items():
            content = content.replace(old, new.encode())
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return {name: place.seen(folder / "vector" / f"{name}.yaml") for name in ("vector", "tests")}


@dataclass
class Program:
    """A process that is started, stopped or killed, and started again with the same files."""

    argv: list[str]
    ready: Callable[[], Any]
    log: Path
    environment: dict[str, str] | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> Self:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(self.argv, stdout=out, stderr=out, env=self.environment)
        try:
            wait_for(f"{self.argv} is ready", lambda: self._alive() and self.ready())
        except BaseException:
            self.kill()
            raise
        return self

    def _alive(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise AssertionError(f"{self.argv} ended with {self.process.returncode}: {self.said()[-2000:]}")
        return True

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(90)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)


def _answers(url: str) -> Callable[[], bool]:
    return lambda: requests.get(url, timeout=2).ok


@dataclass
class Pipeline:
    """All of it, running. `publish` speaks to the broker, `samples` asks VictoriaMetrics."""

    studio: Studio
    broker: Program
    database: Program
    vector: Program
    broker_data: Path
    client: paho.Client

    def publish_all(self, topic: str, payloads: list[str]) -> None:
        """At QoS 1, as fast as the broker takes them; returns when it has them all."""
        for sent in [self.client.publish(topic, payload, 1) for payload in payloads]:
            sent.wait_for_publish(30)
            assert sent.is_published()

    def publish(self, topic: str, payload: str | bytes, qos: int = 1) -> None:
        sent = self.client.publish(topic, payload, qos)
        sent.wait_for_publish(10)
        assert sent.is_published()

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self.studio.ports.victoriametrics}"

    def series(self, selector: str) -> list[dict[str, Any]]:
        """The series as stored: metric (labels), values, timestamps (ms)."""
        requests.get(f"{self._url}/internal/force_flush", timeout=5).raise_for_status()
        # For ten seconds VictoriaMetrics remembers which series a selector has found: one never asked is not known.
        params = {"match[]": selector, "extra_filters[]": f'{{asked!="{time.time_ns()}"}}'}
        answer = requests.get(f"{self._url}/api/v1/export", params=params, timeout=10)
        answer.raise_for_status()
        return [json.loads(line) for line in answer.text.splitlines()]

    def samples(self, selector: str) -> list[tuple[int, float]]:
        """Every sample (ms, value) of all series that fit, in order."""
        found = [zip(s["timestamps"], s["values"], strict=True) for s in self.series(selector)]
        return sorted(sample for series in found for sample in series)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of Vector's own series of that name and those labels; 0 when there are none."""
        page = requests.get(f"http://127.0.0.1:{self.studio.ports.vector_metrics}/metrics", timeout=5).text
        lines = [line for line in page.splitlines() if line.startswith(f"{name}{{")]
        fitting = [line for line in lines if all(f'{key}="{value}"' in line for key, value in labels.items())]
        return sum(float(line.rpartition(" ")[2]) for line in fitting)

    def dead_letters(self, reason: str, kind: str) -> float:
        return self.metric("vector_dead_letters_total", reason=reason, kind=kind)


def _mosquitto(port: int, place: Place, max_packet_bytes: int) -> Program:
    config = place.folder / "mosquitto.conf"
    data = place.folder / "data"
    data.mkdir()
    lines = {
        "listener": f"{port} 127.0.0.1",
        "allow_anonymous": "true",
        "user": "root",
        "persistence": "true",
        "persistence_location": f"{place.seen(data)}/",
        "autosave_interval": "1",
        "max_queued_messages": "100000",
        "max_inflight_messages": "100",
        "max_packet_size": str(max_packet_bytes),
    }
    config.write_text("".join(f"{key} {value}\n" for key, value in lines.items()))

    def listens() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True

    return Program(place.command("/usr/sbin/mosquitto", "-c", place.seen(config)), listens, place.folder / "log")


def _victoriametrics(port: int, place: Place) -> Program:
    argv = place.command(
        "/victoria-metrics-prod",
        f"-storageDataPath={place.seen(place.folder / 'data')}",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-retentionPeriod=100y",
        "-memory.allowedBytes=64MB",
        f"-search.latencyOffset={LATENCY_SECONDS}s",
    )
    return Program(argv, _answers(f"http://127.0.0.1:{port}/health"), place.folder / "log")


@contextmanager
def running(studio: Studio, folder: Path, broker_packet_bytes: int = MAX_PACKET_BYTES) -> Iterator[Pipeline]:
    """The pipeline of a studio (its ports must be free), until the block ends."""
    with ExitStack() as stack:
        broker_place = stack.enter_context(place("mosquitto"))
        broker = _mosquitto(studio.ports.mqtt, broker_place, broker_packet_bytes)
        database = _victoriametrics(studio.ports.victoriametrics, stack.enter_context(place("victoriametrics")))
        python = stack.enter_context(vrl_python(folder))
        files = write_vector(studio, python.place)
        vector = Program(
            python.argv("--config-yaml", files["vector"], "--graceful-shutdown-limit-secs", "10"),
            _answers(f"http://127.0.0.1:{studio.ports.vector_api}/health"),
            python.place.folder / "vector.log",
            python.environment,
        )
        for program in (broker, database, vector):
            program.start()
            stack.callback(program.kill)
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="a-device")
        client.max_inflight_messages_set(1000)
        client.connect("127.0.0.1", studio.ports.mqtt)
        client.loop_start()
        stack.callback(client.loop_stop)
        stack.callback(client.disconnect)
        pipeline = Pipeline(studio, broker, database, vector, broker_place.folder / "data", client)
        wait_for("Vector is subscribed", lambda: flows(pipeline))
        yield pipeline


def flows(pipeline: Pipeline) -> bool:
    """Whether a canary sent now comes through Vector's source within two seconds."""

    def received() -> float:
        return pipeline.metric("vector_component_received_events_total", component_id="broker")

    before = received()
    pipeline.publish(pipeline.studio.topics.canary, json.dumps({"sent": time.time_ns() // 1_000_000}))
    end = time.monotonic() + 2
    while received() == before and time.monotonic() < end:
        time.sleep(0.1)
    return received() > before
