"""Where the hub listens: plain HTTP on one port, HTTPS on another; its health check; its secrets from files."""

import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from hub_servers import real_hub
from hub_support import ADMIN_TOKEN

from hub import health
from hub.settings import SettingsError, load
from lab.ports import free_port

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    words = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=hub"]
    alternative = ["-addext", "subjectAltName=IP:127.0.0.1"]
    openssl = shutil.which("openssl") or "/usr/bin/openssl"
    argv = [openssl, "req", "-x509", *words, *alternative, "-keyout", key, "-out", cert]
    subprocess.run(argv, check=True, capture_output=True)
    return {"HUB_TLS_CERT": str(cert), "HUB_TLS_KEY": str(key)}


def test_https_has_a_port_of_its_own_and_plain_http_stays(tmp_path: Path, certificate: dict[str, str]) -> None:
    plain, secured = free_port(), free_port()
    with real_hub(tmp_path, plain, **certificate, HUB_TLS_PORT=str(secured)) as client:
        assert client.get("/healthz").status_code == 200
        trust = ssl.create_default_context(cafile=certificate["HUB_TLS_CERT"])
        url = f"https://127.0.0.1:{secured}"
        assert httpx.get(f"{url}/healthz", verify=trust).status_code == 200
        login = httpx.post(f"{url}/login", data={"token": ADMIN_TOKEN}, verify=trust)
        assert "secure" in login.headers["set-cookie"].lower().split("; ")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/healthz")
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{secured}/healthz")


def test_a_port_for_https_needs_a_certificate() -> None:
    with pytest.raises(SettingsError, match="HUB_TLS_PORT needs HUB_TLS_CERT"):
        load(admin_token=ADMIN_TOKEN, tls_port=8443)


@pytest.mark.parametrize("which", ["HUB_PORT", "HUB_PROVISION_PORT"])
def test_a_hub_that_does_not_start_says_so_and_not_that_its_database_is_away(tmp_path: Path, which: str) -> None:
    settings = {"HUB_ADMIN_TOKEN": ADMIN_TOKEN, "HUB_DATABASE_URL": f"sqlite:///{tmp_path}/hub.db", "PATH": "/usr/bin"}
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings |= {"HUB_PORT": str(free_port()), "PROVISION_EVENT_LOG": "", which: str(other.getsockname()[1])}
        argv = [sys.executable, "-m", "hub"]
        done = subprocess.run(argv, env=settings, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "hub: it did not start; the log says why\n"
    assert "address already in use" in done.stdout.lower()


def test_a_port_that_is_taken_is_said_and_no_traceback(tmp_path: Path, certificate: dict[str, str]) -> None:
    with real_hub(tmp_path / "one") as client:
        taken = str(client.base_url.port)
        settings = {"HUB_ADMIN_TOKEN": ADMIN_TOKEN, "HUB_DATABASE_URL": f"sqlite:///{tmp_path}/two.db", **certificate}
        settings |= {"HUB_PORT": str(free_port()), "HUB_TLS_PORT": taken, "PROVISION_EVENT_LOG": "", "PATH": "/usr/bin"}
        argv = [sys.executable, "-m", "hub"]
        done = subprocess.run(argv, env=settings, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "it cannot listen" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_health_check_tells_a_hub_that_answers_from_none(tmp_path: Path) -> None:
    with real_hub(tmp_path) as client:
        port = client.base_url.port or 0
        assert health.answers(port)
        check = [sys.executable, "-I", "-S", health.__file__, str(port)]
        assert subprocess.run(check, check=False).returncode == 0
    assert not health.answers(port)
    assert subprocess.run(check, check=False).returncode == 1


def test_the_databases_url_may_be_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://hub:secret@db/hub\n")
    assert load(admin_token=ADMIN_TOKEN, database_url_file=secret).database_url == "postgresql://hub:secret@db/hub"
    with pytest.raises(SettingsError, match="HUB_DATABASE_URL_FILE cannot be read"):
        load(admin_token=ADMIN_TOKEN, database_url_file=tmp_path / "none")


def test_a_hub_whose_database_takes_no_writes_is_not_ready(tmp_path: Path) -> None:
    with real_hub(tmp_path) as client:
        assert client.get("/readyz").json()["status"] == "ok"
        with sqlite3.connect(tmp_path / "hub.db") as other:
            other.execute("BEGIN EXCLUSIVE")
            answer = client.get("/readyz", timeout=60)
        assert answer.status_code == 503
        assert answer.json()["status"] == "unavailable"


def test_files_of_settings_that_cannot_be_used_are_all_said_and_no_traceback(tmp_path: Path) -> None:
    page, fcm = tmp_path / "page.json", tmp_path / "fcm.json"
    page.write_text("[")
    fcm.write_text('{"type": "service_account"}')
    env = {"HUB_ADMIN_TOKEN": ADMIN_TOKEN, "HUB_DATABASE_URL": f"sqlite:///{tmp_path}/hub.db", "PATH": "/usr/bin"}
    env |= {"HUB_PAGE_CONFIG": str(page), "HUB_FCM_CREDENTIALS_FILE": str(fcm)}
    done = subprocess.run(
        [sys.executable, "-m", "hub"], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert f"HUB_PAGE_CONFIG ({page}) cannot be used" in done.stderr
    assert f"HUB_FCM_CREDENTIALS_FILE ({fcm}) is no service account's JSON" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "hub.db").exists()
