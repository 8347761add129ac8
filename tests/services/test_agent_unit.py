"""The systemd unit: systemd understands it, and it gives away nothing that the agent does not need."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from devicectl import service

UNIT = Path(__file__).parents[2] / "agent/systemd/studio-agent.service"


@pytest.fixture(scope="module")
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.fail("these tests need systemd-analyze: apt-get install systemd")
    return found


def test_systemd_understands_every_line(analyze: str, tmp_path: Path) -> None:
    text = service.understood(UNIT.read_text(), service.systemd_version())
    text = text.replace("/opt/studio-agent/current/bin/studio-agent", shutil.which("true") or "/bin/true")
    (tmp_path / UNIT.name).write_text(text)
    done = subprocess.run([analyze, "verify", tmp_path / UNIT.name], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if UNIT.name in line] == []


def test_its_exposure_is_small(analyze: str) -> None:
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", "--json=short", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"more than 2.0 of 10: {done.stdout}"
    open_to = {check["json_field"] for check in json.loads(done.stdout) if not check["set"]}
    assert not {"NoNewPrivileges", "UserOrDynamicUser", "CapabilityBoundingSet_CAP_SYS_ADMIN"} & open_to


def test_it_restarts_for_everything_but_what_only_people_can_put_right() -> None:
    settings = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#")
    assert settings["Restart"] == "always"
    assert settings["RestartPreventExitStatus"] == "2 3"
    assert settings["Type"] == "notify"
    assert int(settings["WatchdogSec"]) > 90
