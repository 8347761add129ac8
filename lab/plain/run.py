"""Run a plain studio: start its processes in order, feed it, start again what ends, and leave nothing behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import requests

from lab import paths
from lab.plain import parts
from lab.plain.layout import RECORDER, Layout, Service, plain_studio, services
from lab.ports import free_ports
from lab.run import LabError, say, step, write_atomically
from studio.model import Studio
from studio.paths import ROOT

READY = 90.0
GRACE = 15.0
AGAIN = 2.0


def record() -> Path:
    """The file that says which process runs the demo."""
    return paths.lab_dir() / "plain.json"


@dataclass
class Processes:
    """What was started, by name; each is ended with this one, the last first, however this one ends."""

    logs: Path
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    known: dict[str, tuple[list[str], dict[str, str], Path]] = field(default_factory=dict)

    def start(self, name: str, argv: list[str], environment: dict[str, str], cwd: Path = ROOT) -> None:
        self.known[name] = argv, environment, cwd
        basic = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TZ") if key in os.environ}
        variables = {**basic, "PYTHONDONTWRITEBYTECODE": "1", **environment}
        # So that it ends with the supervisor, even when that is killed.
        guarded = ["setpriv", "--pdeathsig", "KILL", "--", *argv] if shutil.which("setpriv") else argv
        null = subprocess.DEVNULL
        with (self.logs / f"{name}.log").open("ab") as log:
            # A group of its own: Ctrl-C is for the supervisor.
            self.running[name] = subprocess.Popen(
                guarded, env=variables, cwd=cwd, stdin=null, stdout=log, stderr=log, process_group=0
            )

    def said(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text(errors="replace")[-1500:].strip()

    def revive(self) -> None:
        """Start again what has ended by itself."""
        for name, process in list(self.running.items()):
            if process.poll() is not None:
                say(f"{name} ended with {process.returncode}; it is started again")
                self.start(name, *self.known[name])

    def stop(self) -> None:
        for process in reversed(self.running.values()):
            process.terminate()
        until = time.monotonic() + GRACE
        for process in self.running.values():
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True)
class Running:
    """A plain studio that runs."""

    studio: Studio
    services: list[Service]
    processes: Processes
    recorder: int
    passwords: dict[str, str]


def _ready(service: Service) -> bool:
    try:
        if service.health_url:
            return requests.get(service.health_url, timeout=3).ok
        with socket.create_connection(("127.0.0.1", service.port), timeout=3):
            return True
    except (OSError, requests.RequestException):
        return False


def _wait_until_ready(service: Service, processes: Processes) -> None:
    until = time.monotonic() + READY
    while not _ready(service):
        code = processes.running[service.name].poll()
        if code is not None or time.monotonic() > until:
            what = f"ended with {code}" if code is not None else f"does not answer within {READY:.0f} s"
            raise LabError(f"{service.name} {what}:\n{processes.said(service.name)}")
        time.sleep(0.1)


@contextmanager
def running() -> Iterator[Running]:
    """A plain studio, fed by the simulator, until the block ends; then its processes and files are gone.

    Raises:
        LabError: a part cannot be had, or a process does not become ready; the message has its last words.
    """
    if reason := parts.why_not():
        raise LabError(f"plain processes cannot be run here either: {reason}")
    root, packages = parts.build_root(), parts.build_packages()
    studio = plain_studio()
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="studio-lab-", ignore_cleanup_errors=True))
        )
        stack.enter_context(_noted(folder))
        layout = Layout(folder)
        (recorder,) = free_ports(1)
        passwords = layout.write(studio, recorder)
        processes = Processes(folder / "logs")
        stack.callback(processes.stop)
        records = str(folder / "data/records.jsonl")
        processes.start("recorder", [sys.executable, str(RECORDER), "--port", str(recorder), "--records", records], {})
        started = list(services(studio, layout, root, packages))
        for service in started:
            with step(f"{service.name} {service.version}"):
                processes.start(service.name, service.argv, service.environment, service.cwd)
                _wait_until_ready(service, processes)
        settings = layout.simulator(studio, passwords)
        code_path = {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
        processes.start("simulator", [sys.executable, "-m", "lab.simulator.feed", str(settings)], code_path)
        yield Running(studio, started, processes, recorder, passwords)


def serve(found: Running) -> NoReturn:
    """Keep everything running until a signal ends it."""
    while True:
        time.sleep(AGAIN)
        found.processes.revive()


@contextmanager
def _noted(folder: Path) -> Iterator[None]:
    """Let `down` find this process and its folder."""
    known = {"pid": os.getpid(), "started": _started(os.getpid()), "folder": str(folder)}
    write_atomically(record(), json.dumps(known))
    try:
        yield
    finally:
        record().unlink(missing_ok=True)


def _started(pid: int) -> str | None:
    """When a process began, in the kernel's ticks; with its id that names it for ever."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


def down() -> bool:
    """End the plain demo and wait until it has cleared up; whether there was one."""
    try:
        known = json.loads(record().read_text())
    except (OSError, ValueError):
        return False
    pid, started = known["pid"], known["started"]
    if _started(pid) == started:
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + GRACE * 2
    while _started(pid) == started:
        if time.monotonic() > until:
            raise LabError(f"the demo (process {pid}) does not end")
        time.sleep(0.1)
    # What one that was killed could not clear up.
    shutil.rmtree(known["folder"], ignore_errors=True)
    record().unlink(missing_ok=True)
    return True
