"""Where the hub listens: plain HTTP on one port, HTTPS on another; its health check; its secrets from files."""

import asyncio
import contextlib
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
from hub.store import open_database
from lab.ports import free_port

pytest_plugins = ["hub_fixtures"]
pytestmark = pytest.mark.services


def test_https_has_a_port_of_its_own_and_plain_http_stays(tmp_path: Path, certificate: dict[str, str]) -> None:
    plain, secured = free_port(), free_port()
    with real_hub(tmp_path, plain, **certificate, HUB_TLS_PORT=str(secured)) as client:
        assert client.get("/healthz").status_code == 200
        trust = ssl.create_default_context(cafile=certificate["HUB_TLS_CERT"])
        url = f"https://127.0.0.1:{secured}"
        assert httpx.get(f"{url}/healthz", verify=trust, timeout=60).status_code == 200
        login = httpx.post(f"{url}/login", data={"token": ADMIN_TOKEN}, verify=trust, timeout=60)
        assert "secure" in login.headers["set-cookie"].lower().split("; ")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/healthz")
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{secured}/healthz")


def test_a_port_for_https_needs_a_certificate() -> None:
    with pytest.raises(SettingsError, match="HUB_TLS_PORT needs HUB_TLS_CERT"):
        load(admin_token=ADMIN_TOKEN, tls_port=8443)


def test_ports_that_are_taken_are_all_said_in_a_line_each_and_nothing_is_done(
    tmp_path: Path, certificate: dict[str, str]
) -> None:
    names = ("HUB_PORT", "HUB_TLS_PORT", "HUB_PROVISION_PORT")
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in names]
        ports = dict(zip(names, map(str, taken), strict=True))
        done = _started(tmp_path, HUB_ADMIN_TOKEN=ADMIN_TOKEN, **certificate, **ports)
    lines = [f"{name} (127.0.0.1:{port}): Address already in use" for name, port in ports.items()]
    assert done.stderr.splitlines() == ["hub: it cannot listen:", *lines]
    assert (done.returncode, done.stdout) == (1, "")
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_is_not_of_this_machine_is_said(tmp_path: Path) -> None:
    done = _started(tmp_path, HUB_ADMIN_TOKEN=ADMIN_TOKEN, HUB_HOST="203.0.113.7", HUB_PORT="8080")
    told = "hub: it cannot listen:\nHUB_PORT (203.0.113.7:8080): Cannot assign requested address\n"
    assert (done.returncode, done.stderr, done.stdout) == (1, told, "")


WRONG = {
    "no file": ("HUB_DATABASE_URL", "sqlite:///", "HUB_DATABASE_URL: must name a file"),
    "in memory": ("HUB_DATABASE_URL", "sqlite:///:memory:", "HUB_DATABASE_URL: must name a file"),
    "a file and options": ("HUB_DATABASE_URL", "sqlite:///hub.db?mode=ro", "HUB_DATABASE_URL: must name a file"),
    "no such port": ("HUB_MQTT_URL", "mqtt://broker:99999", "HUB_MQTT_URL: must look like mqtt://"),
    "port 0": ("HUB_MQTT_URL", "mqtt://broker:0", "HUB_MQTT_URL: must look like mqtt://"),
    "a word as port": ("HUB_MQTT_URL", "mqtt://broker:many", "HUB_MQTT_URL: must look like mqtt://"),
    "half a host": ("HUB_MQTT_URL", "mqtt://[::1", "HUB_MQTT_URL: must look like mqtt://"),
    "blanks": ("HUB_ADMIN_TOKEN", " " * 35, "HUB_ADMIN_TOKEN must be of ASCII letters"),
    "a blank at the end": ("HUB_ADMIN_TOKEN", f"{ADMIN_TOKEN} ", "HUB_ADMIN_TOKEN must be of ASCII letters"),
    "other letters": ("HUB_ADMIN_TOKEN", "an-admin-token-für-tests", "HUB_ADMIN_TOKEN must be of ASCII letters"),
    "other letters there": ("HUB_METRICS_TOKEN", "ä" * 20, "HUB_METRICS_TOKEN must be of ASCII letters"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_setting_that_cannot_work_is_refused(case: str) -> None:
    name, value, told = WRONG[case]
    given = {"admin_token": ADMIN_TOKEN, name.removeprefix("HUB_").lower(): value}
    with pytest.raises(SettingsError) as refused:
        load(**given)
    (line,) = str(refused.value).splitlines()
    assert line.startswith(told)


def test_settings_that_look_odd_and_work_are_taken() -> None:
    load(admin_token="two words that are-long", mqtt_url="mqtts://[::1]:8883", database_url="sqlite:////var/lib/hub.db")
    assert load(admin_token=ADMIN_TOKEN, mqtt_url="mqtt://h").mqtt_url == "mqtt://h"


@pytest.mark.parametrize("content", ["no database", "cut off", "overwritten"])
def test_a_file_that_is_no_whole_database_is_said_in_one_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "hub.db"
    asyncio.run(_made(f"sqlite:///{file}"))
    whole = file.read_bytes()
    wrong = {"no database": b"this is none " * 100, "cut off": whole[:20_000]}
    file.write_bytes(wrong.get(content, whole[:100] + b"\xff" * 30_000 + whole[30_100:]))
    url = f"sqlite:///{file}"
    done = _started(tmp_path, HUB_ADMIN_TOKEN=ADMIN_TOKEN, HUB_DATABASE_URL=url, HUB_PORT=str(free_port()))
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"hub: SQLite cannot open {file}: ")


async def _made(url: str) -> None:
    await (await open_database(url)).close()


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
    done = _started(folder, **env)
    assert done.returncode == 2
    assert not (folder / "data").exists()
    return done


def _started(folder: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """A hub that ends by itself, without a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "hub"],
        env={"PATH": "/usr/bin", "PYTHONPATH": str(Path.cwd()), **env},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done
