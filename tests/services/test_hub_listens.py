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
from hub_servers import real_hub, wait_until
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
            answer = wait_until("it is noticed", lambda: (got := client.get("/readyz", timeout=60)).is_error and got)
        assert answer.status_code == 503
        assert answer.json()["status"] == "unavailable"
        wait_until(
            "it is ready again", lambda: client.get("/readyz", timeout=60).json() == {"status": "ok", "problems": {}}
        )


def test_everything_that_is_wrong_with_settings_and_their_files_is_said_at_once(tmp_path: Path) -> None:
    page, fcm, none = tmp_path / "page.json", tmp_path / "fcm.json", tmp_path / "none"
    page.write_text("[")
    fcm.write_text('{"type": "service_account"}')
    wrong = {
        "HUB_ADMIN_TOKEN_FILE": (str(none), "HUB_ADMIN_TOKEN_FILE cannot be read: "),
        "HUB_METRICS_TOKEN": ("short", "HUB_METRICS_TOKEN must have at least 16 characters"),
        "HUB_PORT": ("many", "HUB_PORT: "),
        "HUB_LOG_LEVEL": ("LOUD", "HUB_LOG_LEVEL: "),
        "HUB_DATABASE_URL": ("mysql://", "HUB_DATABASE_URL: must begin with "),
        "HUB_PROVISION_TLS": ("yes", "HUB_PROVISION_TLS needs HUB_TLS_CERT and HUB_TLS_KEY"),
        "HUB_TLS_PORT": ("0", "HUB_TLS_PORT needs HUB_TLS_CERT and HUB_TLS_KEY"),
        "HUB_TLS_KEY": (str(none), "HUB_TLS_CERT and HUB_TLS_KEY belong together"),
        "HUB_PAGE_CONFIG": (str(page), f"HUB_PAGE_CONFIG ({page}) cannot be used: "),
        "HUB_FCM_CREDENTIALS_FILE": (str(fcm), f"HUB_FCM_CREDENTIALS_FILE ({fcm}) is no service account's JSON"),
        "HUB_MQTT_CA": (str(none), f"HUB_MQTT_CA ({none}) cannot be used: "),
    }
    done = _refused(tmp_path, **{name: value for name, (value, _) in wrong.items()})
    first, *lines = done.stderr.splitlines()
    assert first == "hub: wrong settings:"
    assert len(lines) == len(wrong), done.stderr
    for _, told in wrong.values():
        assert len([line for line in lines if line.startswith(told)]) == 1, (told, done.stderr)


def test_a_certificate_that_is_none_is_a_wrong_setting_like_the_others(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert", tmp_path / "key"
    cert.write_text("no certificate")
    key.write_text("no key")
    done = _refused(tmp_path, HUB_ADMIN_TOKEN="short", HUB_TLS_CERT=str(cert), HUB_TLS_KEY=str(key))
    assert "HUB_ADMIN_TOKEN must have at least 16 characters" in done.stderr
    assert f"HUB_TLS_CERT ({cert}) and HUB_TLS_KEY ({key}) cannot be used: " in done.stderr


def _refused(folder: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """A hub that does not start for its settings, and has done nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "hub"],
        env={"PATH": "/usr/bin", "PYTHONPATH": str(Path.cwd()), **env},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert not (folder / "data").exists()
    return done
