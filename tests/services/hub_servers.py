"""Real servers on loopback: a hub as a process of its own, and programs of Debian's packages, only unpacked."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Self

import httpx
from hub_support import ADMIN, ADMIN_TOKEN
from sqlalchemy import Select

from hub.store import open_database
from lab.ports import free_port
from lab.run import locked, wait_for


def healthy(url: str) -> bool:
    """Whether a server answers 200. One client for all: making one costs more than asking."""
    return _asking().get(url).status_code == 200


@cache
def _asking() -> httpx.Client:
    return httpx.Client(timeout=5, trust_env=False)


def wait_until(what: str, condition: Callable[[], Any], seconds: float = 90) -> Any:
    """`wait_for`, to which httpx's errors are as good as the system's: what does not answer is asked again."""

    def asked() -> Any:
        try:
            return condition()
        except httpx.HTTPError as error:
            raise OSError(f"{type(error).__name__}: {error}") from error

    return wait_for(what, asked, seconds, 0.1)


@cache
def _unpacked(package: str) -> Path:
    folder = Path(tempfile.gettempdir()) / f"hub-tests-{package}"
    done = folder / "done"
    with locked(Path(tempfile.gettempdir()) / "hub-tests.lock"):
        if not done.exists():
            folder.mkdir(exist_ok=True)
            for command in (["apt-get", "update", "-q"], ["apt-get", "download", "-q", package]):
                subprocess.run(command, check=True, cwd=folder, capture_output=True)
            (archive,) = folder.glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", archive, folder / "root"], check=True, capture_output=True)
            archive.unlink()
            done.touch()
    return folder / "root" / "usr" / "bin" / package


@contextlib.contextmanager
def program(url: str, path: str, *args: str | Path, **env: str) -> Iterator[str]:
    """Run a server until the end of the block."""
    process = subprocess.Popen(args, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(f"{args[0]} is healthy", lambda: healthy(url + path))
        yield url
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def hub_env(folder: Path, database_url: str, **given: str) -> dict[str, str]:
    env = {
        "HUB_ADMIN_TOKEN": ADMIN_TOKEN,
        "HUB_DATABASE_URL": database_url,
        "HUB_APK_DIR": str(folder / "apk"),
        "PROVISION_EVENT_LOG": str(folder / "events.jsonl"),
        "HUB_RATE_DEVICE": "1000000",
        "HUB_RATE_REGISTER": "1000000",
        "HUB_RATE_LOGIN": "1000000",
        "HUB_DISPATCH_WAIT": "0",
    }
    return env | given


@contextlib.contextmanager
def real_hub(folder: Path, port: int | None = None, **given: str) -> Iterator[httpx.Client]:
    """A hub as a process of its own; a client that is its admin."""
    port = port or free_port()
    env = hub_env(folder, f"sqlite:///{folder}/hub.db", HUB_PORT=str(port), **given)
    url = f"http://127.0.0.1:{port}"
    with (
        program(url, "/readyz", sys.executable, "-m", "hub", **env),
        httpx.Client(base_url=url, headers=ADMIN, timeout=60, trust_env=False) as client,
    ):
        yield client


class HubProcess:
    """A hub as a process of its own that can be killed and started again on the same port and database."""

    def __init__(self, folder: Path, database_url: str, stdout: int = subprocess.DEVNULL, **given: str) -> None:
        self.port = free_port()
        self._env = {**os.environ, **hub_env(folder, database_url, HUB_PORT=str(self.port), **given)}
        self._stdout = stdout
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "hub"], env=self._env, stdout=self._stdout)
        wait_until("the hub is ready", lambda: healthy(f"{self.url}/readyz"))

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def megabytes(self) -> float:
        """The memory it has now."""
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@contextlib.contextmanager
def admin_of(hub: HubProcess) -> Iterator[httpx.Client]:
    """A client that is the hub's admin."""
    with httpx.Client(base_url=hub.url, headers=ADMIN, timeout=60, trust_env=False) as client:
        yield client


def metric(client: httpx.Client, name: str) -> float:
    """The sum of all series of a metric."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def stored(database_url: str, statement: Select[Any]) -> list[tuple[Any, ...]]:
    """What the database has, opened anew."""

    async def ask() -> list[tuple[Any, ...]]:
        database = await open_database(database_url)
        try:
            return await database.read(lambda conn: [tuple(row) for row in conn.execute(statement)])
        finally:
            await database.close()

    return asyncio.run(ask())


def enrol(client: httpx.Client, device_id: str, **body: Any) -> dict[str, str]:
    token = client.post("/admin/tokens", json={}).json()["token"]
    answer = client.post("/v1/register", json={"device_id": device_id, "token": token, **body})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['device_token']}"}
