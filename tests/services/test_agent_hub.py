"""Agent, hub and broker, each its own program: a camera provisions itself at the hub, delivers, and obeys."""

import contextlib
import io
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.agent_broker import Broker, Listener, program, until
from services.agent_site import Site

from agent import config, handshake, identity, journal
from agent.credentials import Credentials
from agent.errors import UnreachableError
from agent.handshake import Answer
from agent.logs import open_log
from agent.request import read_request


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")).running() as started:
        yield started


def camera(directory: Path, site: Site, credentials_type: str) -> Path:
    key = json.loads(site.hub("provision-key", "create", "--kind", "camera", "--json"))
    (directory / "provision.txt").touch()
    request = {
        "server": f"mqtt://127.0.0.1:{site.provisioning}",
        "device_server": f"mqtt://127.0.0.1:{site.broker.port}",
        "provision_device_key": key["key"],
        "provision_device_secret": key["secret"],
        "credentials_type": credentials_type,
        "device_name": f"{credentials_type.lower().replace('_', '-')}-XXXXXX",
    }
    (directory / "provision.json").write_text(json.dumps(request))
    values = {
        "telemetry": {"interval_seconds": 0.5, "source": {"simulator": True}},
        "commands": {"look": {"argv": ["sh", "-c", "cat; echo; echo seen"]}},
    }
    (directory / config.FILE).write_text(json.dumps(values))
    return directory


@pytest.mark.parametrize("credentials_type", ["ACCESS_TOKEN", "MQTT_BASIC"])
def test_a_camera_provisions_itself_at_the_hub_delivers_and_obeys(
    tmp_path: Path, site: Site, credentials_type: str
) -> None:
    directory = camera(tmp_path, site, credentials_type)
    begun = time.monotonic()
    with Listener(site.broker.port, "camera/#", login=("admin", "admin")) as listener, program(directory):
        until(lambda: any(topic.endswith("/telemetry") for topic, _, _ in listener.heard), 30)
        assert time.monotonic() - begun < 30
        device = json.loads((directory / config.FILE).read_text())["device_name"]
        assert re.fullmatch(credentials_type.lower().replace("_", "-") + "-[0-9a-f]{6}", device)
        assert json.loads(listener.of(f"camera/{device}/state")[0])["state"] == "online"
        body = {"device_id": device, "action": "look", "protocol": "mqtt", "params": {"zoom": 2}}
        request = site.ask("/admin/command", body)["request_id"]
        until(lambda: site.ask(f"/admin/runs/{request}")["status"] == "ok", 15)
        run = site.ask(f"/admin/runs/{request}")
    assert "".join(chunk["data"] for chunk in run["output"]) == '{"zoom": 2}\nseen\n'
    assert (directory / "provision.txt.processed").exists()


def test_a_killed_provisioning_goes_on_and_who_lost_its_files_is_a_second_device(tmp_path: Path, site: Site) -> None:
    """On the hub too, the same request again is the same device; the same name with another token is not."""
    directory = camera(tmp_path, site, "MQTT_BASIC")
    (directory / "provision.json").write_text(
        (directory / "provision.json").read_text().replace("mqtt-basic-", "card-")
    )
    command = [sys.executable, "-m", "agent", "provision", "--dir", str(directory)]
    first, again = (_provisioned(command, directory) for _ in range(2))
    assert first == again
    (directory / journal.DEVICES).unlink()
    second = _provisioned(command, directory)
    assert first != second
    serial = identity.serial_number()
    if serial:
        assert first == f"card-{identity.suffix(serial, 0)}"
        assert second == f"card-{identity.suffix(serial, 1)}"


def test_where_a_login_proves_nothing_the_hub_is_asked_for_the_device_of_before(tmp_path: Path, site: Site) -> None:
    (tmp_path / "open").mkdir()
    directory = camera(tmp_path, site, "ACCESS_TOKEN")
    request = json.loads((directory / "provision.json").read_text())
    command = [sys.executable, "-m", "agent", "provision", "--dir", str(directory)]
    with Broker(tmp_path / "open") as open_to_all:
        request |= {"device_server": f"mqtt://127.0.0.1:{open_to_all.port}", "device_name": "open-XXXXXX"}
        (directory / "provision.json").write_text(json.dumps(request))
        assert len({_provisioned(command, directory) for _ in range(4)}) == 1
    made = [one for one in site.ask("/admin/devices") if one["device_id"].startswith("open-")]
    assert len(made) == 1


def test_a_hundred_sessions_of_one_client_id_that_ask_for_one_name_are_one_device(tmp_path: Path, site: Site) -> None:
    """Each takes the session over from the one before; nobody ever hears another's answer."""
    request = read_request(camera(tmp_path, site, "ACCESS_TOKEN"))
    wanted = [Credentials("ACCESS_TOKEN", "one-eye", f"token-of-session-{number:03}") for number in range(100)]
    log = io.StringIO()
    start = threading.Barrier(len(wanted))
    won: list[Credentials] = []

    def ask(credentials: Credentials) -> None:
        start.wait()
        with contextlib.suppress(UnreachableError):
            if handshake.ask(request, credentials, "same", open_log("json", stream=log), 10)[0] is Answer.SUCCESS:
                won.append(credentials)

    threads = [threading.Thread(target=ask, args=(credentials,)) for credentials in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert "answer refused" not in log.getvalue()
    assert len(won) <= 1
    # One at a time, each is told what is true: the device is one session's, and stays so.
    answers = [
        handshake.ask(request, one, f"alone-{n}", open_log("json", stream=log), 10)[0] for n, one in enumerate(wanted)
    ]
    owners = [one for one, answer in zip(wanted, answers, strict=True) if answer is Answer.SUCCESS]
    assert len(owners) == 1
    assert won in ([], owners)
    assert answers.count(Answer.FAILURE) == 99
    assert [d["device_id"] for d in site.ask("/admin/devices")].count("one-eye") == 1


def _provisioned(command: list[str], directory: Path) -> str:
    marker = directory / "provision.txt"
    marker.touch()
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as killed:
        # It is there for some 20 ms, so that a poll may miss it; then the agent was done before it was killed.
        until(lambda: (directory / ".provision.journal").exists() or killed.poll() is not None, 60)
        killed.kill()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    name: str = json.loads((directory / config.FILE).read_text())["device_name"]
    return name
