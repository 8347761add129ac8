"""Fixtures of the hub's tests, named by them in `pytest_plugins`."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hub_fcm_standin import FcmStandin
from hub_phone import with_fcm
from hub_support import Postgres, RunningHub, postgres_server, running

from lab.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright  # few tests need it

    found = shutil.which("chromium")
    assert found, "these tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of 127.0.0.1, in a hub's settings."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    words = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=hub"]
    alternative = ["-addext", "subjectAltName=IP:127.0.0.1"]
    openssl = shutil.which("openssl") or "/usr/bin/openssl"
    argv = [openssl, "req", "-x509", *words, *alternative, "-keyout", key, "-out", cert]
    subprocess.run(argv, check=True, capture_output=True)
    return {"HUB_TLS_CERT": str(cert), "HUB_TLS_KEY": str(key)}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/hub.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
async def hub(tmp_path: Path, database_url: str) -> AsyncIterator[RunningHub]:
    """A hub on an empty database, once on each kind."""
    async with running(tmp_path, database_url) as started:
        yield started


@pytest.fixture
async def lite(tmp_path: Path) -> AsyncIterator[RunningHub]:
    """A hub on SQLite, for what does not depend on the database."""
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db") as started:
        yield started


@pytest.fixture
def fcm(tmp_path: Path) -> Iterator[FcmStandin]:
    standin = FcmStandin(tmp_path)
    yield standin
    standin.close()


@pytest.fixture
async def phone(tmp_path: Path, database_url: str, fcm: FcmStandin) -> AsyncIterator[tuple[RunningHub, FcmStandin]]:
    """A hub that has FCM, on each database."""
    async with with_fcm(tmp_path, database_url, fcm) as hub:
        yield hub, fcm


@pytest.fixture
async def made(tmp_path: Path, database_url: str) -> AsyncIterator[RunningHub]:
    """A hub that writes broker accounts, on each database."""
    async with running(tmp_path, database_url, broker_users_file=tmp_path / "hub.json") as hub:
        yield hub


@pytest.fixture
async def listening(tmp_path: Path) -> AsyncIterator[tuple[RunningHub, int]]:
    """A hub with its provisioning listener."""
    port = free_port()
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", provision_port=port) as hub:
        yield hub, port
