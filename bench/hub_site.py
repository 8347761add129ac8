"""The hub, its peers and a broker as programs of their own, for the hub's benchmark."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent
END_SECONDS = 10
AT_ONCE = 16
sys.path.insert(0, str(ROOT / "tests" / "services"))

from hub_broker import Mosquitto  # noqa: E402
from hub_servers import HubProcess, admin_of, enrol, healthy, metric, wait_until  # noqa: E402
from hub_support import ADMIN  # noqa: E402

from lab.ports import free_port  # noqa: E402

__all__ = ["ADMIN", "HubProcess", "admin_of", "broker", "enrolled", "hub", "metric", "peer", "stopped", "wait_until"]


@contextlib.contextmanager
def hub(folder: Path, **given: str) -> Iterator[HubProcess]:
    """A hub as it runs on a host, its log going to a file; it must end when it is told."""
    with (
        (folder / "log").open("ab") as log,
        HubProcess(folder, f"sqlite:///{folder}/hub.db", stdout=log.fileno(), **given) as hub,
    ):
        yield hub
        assert hub.process is not None  # noqa: S101
        hub.process.terminate()
        hub.process.wait(END_SECONDS)


@contextlib.contextmanager
def peer(what: str, folder: Path, port: int | None = None) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """A peer of bench/hub_peers.py: its port (or the broker's, that is given) and its process."""
    own = port or free_port()
    command = [sys.executable, "-m", "bench.hub_peers", what, str(own), str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE if port else subprocess.DEVNULL, text=True)
    try:
        if port is None:
            wait_until(f"the peer {what} answers", lambda: _answers(own))
        yield own, process
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        healthy(f"http://127.0.0.1:{port}/")
        return True
    return False


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[Mosquitto]:
    """A Mosquitto that drops nothing."""
    folder.mkdir(exist_ok=True)
    started = Mosquitto(folder, "allow_anonymous true\nmax_queued_messages 0")
    started.start()
    try:
        yield started
    finally:
        started.stop()


def enrolled(client: httpx.Client, count: int) -> list[dict[str, str]]:
    """The headers of so many devices, enrolled some at a time: each waits for the disk."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda number: enrol(client, f"d{number}"), range(count)))


@contextlib.contextmanager
def stopped(process: "subprocess.Popen[Any]") -> Iterator[None]:
    """Hold a process still for the block."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
