"""Provisioning against a server that behaves as ThingsBoard does: what is asked, stored and logged; the program."""

# ruff: noqa: F811 - fixtures are asked for by their names

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from services.agent_cases import NAME, SERIAL, is_new, prepare
from services.agent_fixtures import device, rewrite, running, server, start, tmp_path, untouched  # noqa: F401 - fixtures
from standins.thingsboard_standin import Device, ThingsboardStandin

from agent import config, folder, journal, provision, request, status
from agent.errors import BusyError, InputError, RefusedError, UnreachableError


def test_the_device_is_registered_tried_and_configured(device: Path, server: ThingsboardStandin) -> None:
    lines = start(device)
    made = server.devices[NAME]
    assert is_new((device / config.FILE).read_bytes(), server)
    assert server.requests == [
        {
            "provisionDeviceKey": "key",
            "provisionDeviceSecret": "secret",
            "deviceName": NAME,
            "credentialsType": "ACCESS_TOKEN",
            "token": made.value,
        }
    ]
    assert not (device / "provision.txt").exists()
    assert (device / "provision.txt.processed").exists()
    assert len({line["attempt"] for line in lines}) == 1
    done = [line["step"] for line in lines if line["event"] == "step done"]
    assert done == ["validate", "check the disk", "journal", "register", "try the credentials", "back up",
                    "replace the configuration", "rename the marker"]  # fmt: skip
    assert all(line["duration_ms"] >= 0 for line in lines if "step" in line)
    readable = "others can read the credentials"
    assert {line["level"]: line["event"] == readable for line in lines} == {"info": False, "warning": True}
    assert lines[-1]["event"] == "provisioning completed"
    assert lines[-1]["device"] == NAME


def test_no_secret_is_ever_logged(device: Path, server: ThingsboardStandin) -> None:
    told = json.dumps(start(device)) + (device / status.FILE).read_text()
    assert server.devices[NAME].value not in told
    assert "secret" not in told


def test_user_name_and_password_when_asked_for(device: Path, server: ThingsboardStandin) -> None:
    rewrite(device, credentials_type="MQTT_BASIC")
    start(device)
    stored = json.loads((device / config.FILE).read_text())["mqtt"]
    told = {"clientId": stored["client_id"], "userName": stored["username"], "password": stored["password"]}
    assert server.devices[NAME].value == told
    assert len(stored["password"]) == 32


def test_the_name_follows_the_template_and_a_fixed_name_is_taken_as_it_is(
    tmp_path: Path, server: ThingsboardStandin
) -> None:
    names = {"kiln-XXXXXX-eye": "kiln-a1b2c3-eye", "annealer-eye": "annealer-eye"}
    for number, (template, name) in enumerate(names.items()):
        directory = prepare(tmp_path / str(number), server)
        rewrite(directory, device_name=template)
        start(directory)
        assert name in server.devices


def test_a_taken_name_is_followed_by_another_one(device: Path, server: ThingsboardStandin) -> None:
    server.devices[NAME] = Device(NAME, "ACCESS_TOKEN", "another's")
    lines = start(device)
    assert server.devices[NAME].value == "another's"
    assert len(server.devices) == 2
    assert is_new((device / config.FILE).read_bytes(), server)
    assert [line["level"] for line in lines if line["event"].startswith("the name is taken")] == ["warning"]


def test_it_gives_up_after_three_names(device: Path, server: ThingsboardStandin) -> None:
    asked = request.read_request(device)
    noted = journal.begin(asked, SERIAL)
    for _ in range(3):
        server.devices[noted.name] = Device(noted.name, "ACCESS_TOKEN", noted.name)
        noted = journal.next_name(noted, asked)
    with pytest.raises(RefusedError, match="would not make the device"):
        start(device)
    assert len(server.requests) == 3
    assert untouched(device)


def test_a_hundred_devices_with_one_name_become_one_device(tmp_path: Path, server: ThingsboardStandin) -> None:
    outcomes: list[str] = []

    def one(number: int) -> None:
        directory = prepare(tmp_path / str(number), server)
        rewrite(directory, device_name="annealer-eye")
        try:
            start(directory, provision.Pace(patience=(0.01,), step=20))
            outcomes.append(json.loads((directory / config.FILE).read_text())["mqtt"]["username"])
        except RefusedError:
            outcomes.append("refused")

    threads = [threading.Thread(target=one, args=(n,)) for n in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == sorted([server.devices["annealer-eye"].value] + ["refused"] * 99)
    assert len(server.devices) == 1


def test_a_clock_that_jumps_by_years_changes_no_duration(
    device: Path, server: ThingsboardStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = iter(range(0, 10**12, 86400 * 365))
    monkeypatch.setattr(time, "time", lambda: float(next(wall) % 2 * 1.9e9))
    begun = time.monotonic()
    lines = start(device)
    assert time.monotonic() - begun < 5
    assert all(0 <= line["duration_ms"] < 5000 for line in lines if "duration_ms" in line)
    assert is_new((device / config.FILE).read_bytes(), server)


def test_two_agents_never_work_in_one_folder(device: Path, server: ThingsboardStandin) -> None:
    with folder.held(device), pytest.raises(BusyError, match="is held by another agent"):
        start(device)
    assert not server.requests


def test_a_journal_for_another_server_is_not_used_here(device: Path, server: ThingsboardStandin) -> None:
    server.hook = lambda now: "cut"
    with pytest.raises(UnreachableError):
        start(device)
    server.hook = lambda now: None
    with ThingsboardStandin({"key": "secret"}) as other:
        rewrite(device, server=f"mqtt://127.0.0.1:{other.port}")
        lines = start(device)
        assert is_new((device / config.FILE).read_bytes(), other)
    assert "the earlier attempt was for another server, name or hardware" in [line["event"] for line in lines]


def test_a_device_server_that_was_wrong_is_corrected_without_a_second_device(
    device: Path, server: ThingsboardStandin
) -> None:
    with ThingsboardStandin({}) as wrong:
        rewrite(device, device_server=f"mqtt://127.0.0.1:{wrong.port}")
        with pytest.raises(RefusedError, match="its credentials are not accepted"):
            start(device)
    made = dict(server.devices)
    assert list(made) == [NAME]
    rewrite(device, device_server=None)
    start(device)
    assert server.devices == made
    assert is_new((device / config.FILE).read_bytes(), server)


def test_a_folder_where_the_renamed_marker_belongs_is_named_and_then_it_goes_on(
    device: Path, server: ThingsboardStandin
) -> None:
    there = device / "provision.txt.processed"
    there.mkdir()
    with pytest.raises(InputError, match=re.escape(f"Look at what {there} is")):
        start(device)
    there.rmdir()
    start(device)
    assert there.is_file()
    assert list(server.devices) == [NAME]


def agent(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, env=os.environ | environment
    )


def test_the_program_from_pending_to_completed(device: Path, server: ThingsboardStandin) -> None:
    told = json.loads(agent("status", "--dir", str(device), "--json").stdout)
    assert (told["phase"], told["asked"], told["history"]) == ("pending", True, [])
    both = "provision.json and thermal_config.json: good\n"
    assert agent("check", "--dir", str(device)).stdout == both, "the server that is missing comes by provisioning"
    done = agent("provision", "--dir", str(device))
    assert done.returncode == 0, done.stderr
    assert all(json.loads(line)["ts"] for line in done.stderr.splitlines())
    told = json.loads(agent("status", "--dir", str(device), "--json").stdout)
    assert (told["phase"], told["asked"], len(told["history"])) == ("completed", False, 1)
    assert agent("check", "--dir", str(device)).stdout == "thermal_config.json: good\n"
    assert agent("status", "--dir", str(device)).stdout.startswith("provisioning: completed\ndevice: ")
    again = agent("provision", "--dir", str(device))
    assert again.returncode == 0
    assert "nothing to do" in again.stderr
    assert len(server.requests) == 1


def test_the_status_of_no_folder_is_an_error(tmp_path: Path) -> None:
    done = agent("status", "--dir", str(tmp_path / "nowhere"))
    assert (done.returncode, done.stdout) == (3, "")
    assert "nowhere: cannot read it: No such file or directory" in done.stderr


def test_check_tells_what_provisioning_will_not_put_right(device: Path) -> None:
    (device / config.FILE).write_text('{"buffer": {"most_messages": 1}}')
    done = agent("check", "--dir", str(device))
    wrong = 'thermal_config.json: buffer: "most_messages" must be between 10 and 10000000, as in 50000\n'
    assert (done.returncode, done.stdout) == (3, wrong)
    (device / "provision.txt").unlink()
    done = agent("check", "--dir", str(device))
    assert done.returncode == 3
    assert 'mqtt: "server" is missing' in done.stdout
    assert wrong in done.stdout


def test_a_request_that_others_can_read_is_warned_of_once_and_nothing_more(
    device: Path, server: ThingsboardStandin
) -> None:
    path = device / "provision.json"
    advice = f"chmod 600 {path}"
    path.chmod(0o600)
    assert json.loads(agent("check", "--dir", str(device), "--json").stdout)["warnings"] == []
    path.chmod(0o640)
    done = agent("check", "--dir", str(device))
    told = f"warning: others can read the provisioning secret: {advice}\n"
    assert (done.returncode, done.stderr) == (0, told)
    done = agent("check", "--dir", str(device), "--json")
    assert (done.returncode, len(json.loads(done.stdout)["warnings"]), done.stderr) == (0, 1, "")
    done = agent("provision", "--dir", str(device))
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    warned = [line for line in lines if line["event"] == "others can read the provisioning secret"]
    assert [(line["level"], line["path"], line["advice"]) for line in warned] == [("warning", str(path), advice)]


def test_the_program_fails_with_its_code_and_without_a_traceback(device: Path, server: ThingsboardStandin) -> None:
    rewrite(device, provision_device_secret="wrong")
    done = agent("provision", "--dir", str(device))
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    told = json.loads(agent("status", "--dir", str(device), "--json").stdout)
    assert told["phase"] == "failed"
    assert told["error"]["exit_code"] == 4
    assert "what to do:   Check" in agent("status", "--dir", str(device)).stdout
    assert agent("provision", "--dir", str(device / "nowhere")).returncode == 3
    assert agent("fly").returncode == 2
    assert "exit codes: 0 done" in agent("--help").stdout
