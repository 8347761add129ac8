"""A real Mosquitto takes over the account files that hostctl writes: a new account, its rights, a revoked one."""

import base64
import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostctl import broker, credentials
from lab.ports import free_port
from studio.model import Studio, load_studio
from studio.render import render
from studio.verify.probe.broker import Session

pytestmark = pytest.mark.services


class Mosquitto:
    """The broker with the rendered configuration, its state in a folder, and hostctl's files in it."""

    def __init__(self, folder: Path, studio: Studio) -> None:
        self.port = studio.ports.mqtt
        self._state = folder / "state"
        self._state.mkdir()
        (folder / "data").mkdir()
        bundle = render(studio)
        self._acl = bundle.files["mosquitto/acl"].content
        names = [user["name"] for user in bundle.manifest["broker_users"]]
        self._own = [{"name": n, "hash": broker.new_hash(n.encode(), b"0123456789ab"), "roles": [n]} for n in names]
        text = bundle.files["mosquitto/mosquitto.conf"].content.decode()
        text = text.replace("/mosquitto/state", str(self._state)).replace("/mosquitto/data", str(folder / "data"))
        (folder / "mosquitto.conf").write_text(f"{text}user root\n" if os.geteuid() == 0 else text)
        self.write([])
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        log = (folder / "log").open("wb")
        self.process = subprocess.Popen([program, "-c", folder / "mosquitto.conf"], stdout=log, stderr=log)
        until = time.monotonic() + 20
        while Session(self.port, "monit", "monit").connected != "Success":
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.1)

    def write(self, devices: list[str]) -> None:
        """hostctl's files with these provisioned devices; password and name are the same."""
        salt = base64.b64encode(b"0123456789ab").decode()
        more, roles = [], []
        for name in devices:
            key = hashlib.pbkdf2_hmac("sha512", name.encode(), b"0123456789ab", 1000, 64)
            role = f"provisioned-{name}"
            more.append({"name": name, "hash": f"{salt}:1000:{base64.b64encode(key).decode()}", "roles": [role]})
            may = [{"topic": f"camera/{name}/run/+/chunk", "activity": "PUBLISH"}]
            may.append({"topic": f"camera/{name}/cmd/#", "activity": "SUBSCRIBE"})
            roles.append({"id": role, "permissions": may})
        (self._state / "passwd").write_bytes(credentials.mosquitto([*self._own, *more]))
        (self._state / "acl").write_bytes(self._acl + credentials.mosquitto_acl(more, roles))

    def tell(self) -> None:
        self.process.send_signal(signal.SIGHUP)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    lab = load_studio("lab")
    changes: dict[str, Any] = {"broker": "mosquitto", "network": None, "hub": {}, "ports": {"mqtt": free_port()}}
    made = Mosquitto(tmp_path, Studio.model_validate({**lab.model_dump(), **changes}))
    try:
        yield made
    finally:
        made.process.terminate()
        made.process.wait(10)


def answers(mosquitto: Mosquitto, name: str, wanted: str, seconds: float = 30) -> None:
    """Return when the broker answers the account so."""
    until = time.monotonic() + seconds
    while True:
        session = Session(mosquitto.port, name, name)
        session.close()
        if wanted in session.connected:
            return
        assert time.monotonic() < until, f"{name}: {session.connected}"
        time.sleep(0.05)


def test_a_new_account_is_taken_over_and_a_revoked_ones_session_ends(mosquitto: Mosquitto) -> None:
    answers(mosquitto, "eye", "Not authorized")
    mosquitto.write(["eye", "other"])
    mosquitto.tell()
    answers(mosquitto, "eye", "Success")
    eye, other = (Session(mosquitto.port, name, name) for name in ("eye", "other"))
    assert eye.publish("camera/eye/run/1/chunk", "{}") != "Not authorized"
    assert eye.publish("camera/other/run/1/chunk", "{}") == "Not authorized"
    mosquitto.write(["other"])
    mosquitto.tell()
    answers(mosquitto, "eye", "Not authorized")
    until = time.monotonic() + 30
    while "disconnect" not in eye.answers:
        assert time.monotonic() < until, "its session goes on"
        time.sleep(0.05)
    assert "disconnect" not in other.answers, "the others' sessions go on"
    for session in (eye, other):
        session.close()
