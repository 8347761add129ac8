"""A hub for tests: in this process with its log and metrics at hand, on SQLite and on a real PostgreSQL."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import structlog
from fastapi import FastAPI

from hub import logs, settings
from hub.app import make_app
from hub.metrics import Metrics
from hub.service import Hub
from lab.ports import free_port

ADMIN_TOKEN = "an-admin-token-for-tests"
ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


def asgi_scope(method: str, path: str, headers: list[tuple[bytes, bytes]], query: str = "") -> dict[str, Any]:
    """A request as a server hands it to the application, for what no client does."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("hub", 80),
        "root_path": "",
        "http_version": "1.1",
    }


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class RunningHub:
    """A hub in this process: requests by `client`, its log by `lines`, its metrics by `metric`."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient, writer: logs.LogWriter, log_file: Path) -> None:
        self.app = app
        self.client = client
        self.writer = writer
        self._log_file = log_file

    @property
    def hub(self) -> Hub:
        found: Hub = self.app.state.hub
        return found

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """The lines of the log so far, of one event or all."""
        mark = secrets.token_hex(8)
        self.writer.put(40, {"event": "mark", "mark": mark})
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            text = self._log_file.read_text()
            if mark in text:
                found = [json.loads(line) for line in text.splitlines()]
                return [line for line in found if line["event"] == event or (event is None and line["event"] != "mark")]
            time.sleep(0.005)
        raise AssertionError("the log was not written within 60 s")

    def metric(self, name: str, **labels: str) -> float:
        """The value of a sample, 0 when it is not there."""
        value = self.hub.metrics.registry.get_sample_value(name, labels)
        return 0.0 if value is None else value

    async def new_token(self, **body: Any) -> str:
        answer = await self.client.post("/admin/tokens", json=body, headers=ADMIN)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    async def enrol(self, device_id: str = "tablet-1", **body: Any) -> dict[str, str]:
        """Register a device; the headers it authenticates with."""
        body = {"device_id": device_id, "token": await self.new_token(), **body}
        answer = await self.client.post("/v1/register", json=body)
        assert answer.status_code == 200, answer.text
        return bearer(answer.json()["device_token"])

    async def rows(self, statement: Any) -> list[dict[str, Any]]:
        return await self.hub.db.read(lambda conn: [dict(row) for row in conn.execute(statement).mappings()])

    async def until(self, condition: Any, seconds: float = 60) -> None:
        """Wait for a condition; fails after `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"it did not happen within {seconds} s")


@contextlib.asynccontextmanager
async def running(folder: Path, database_url: str, **given: Any) -> AsyncIterator[RunningHub]:
    """Start a hub in this process and stop it."""
    defaults: dict[str, Any] = {
        "database_url": database_url,
        "admin_token": ADMIN_TOKEN,
        "provision_event_log": str(folder / "events.jsonl"),
        "apk_dir": folder / "apk",
        "log_level": "DEBUG",
        "rate_register": 100_000,
        "rate_device": 1_000_000,
        "rate_login": 100_000,
        "rate_provision": 100_000,
    }
    chosen = settings.load(**(defaults | given))
    log_file = folder / f"log-{secrets.token_hex(4)}.jsonl"
    fd = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    writer = logs.LogWriter(fd)
    logs.configure(writer, chosen.log_level)
    app = make_app(chosen, writer, Metrics())
    try:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://hub", timeout=30) as client:
                yield RunningHub(app, client, writer, log_file)
    finally:
        writer.close()
        structlog.reset_defaults()
        os.close(fd)


def _postgres_bin() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-q"], check=True, capture_output=True)
        command = ["apt-get", "install", "-yq", "--no-install-recommends", "postgresql"]
        subprocess.run(
            command, check=True, capture_output=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        )
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        raise AssertionError("these tests need PostgreSQL: apt-get install postgresql")
    return found[-1].parent


class Postgres:
    """A PostgreSQL server of our own on a loopback port."""

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        self._bin = _postgres_bin()
        self._fsync = "on" if fsync else "off"
        self._folder = folder
        self._user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        self.port = free_port()

    def start(self) -> None:
        self._folder.mkdir()
        if self._user:
            shutil.chown(self._folder, "postgres", "postgres")
        self._run("initdb", "-D", str(self._folder / "data"), "-U", "hub", "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        options += f" -c fsync={self._fsync}"
        self._run(
            "pg_ctl", "-D", str(self._folder / "data"), "-w", "-l", str(self._folder / "log"), "-o", options, "start"
        )

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", "immediate", "stop")

    def pids(self) -> list[int]:
        """Its processes."""
        first = int((self._folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        return [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]

    def new_database(self) -> str:
        name = f"hub_{secrets.token_hex(6)}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "hub", name)
        return f"postgresql://hub@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *args: str) -> None:
        done = subprocess.run(
            [self._bin / program, *args],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            **self._user,
        )
        assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def postgres_server(*, fsync: bool = False) -> Iterator[Postgres]:
    """A PostgreSQL in a folder of its own; with `fsync` it waits for the disk, as it does in use."""
    folder = Path(f"/tmp/hub-postgres-{secrets.token_hex(6)}")
    server = Postgres(folder, fsync=fsync)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
