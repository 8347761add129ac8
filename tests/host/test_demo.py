"""The demo as a user runs it: it ends well, every address it names answers, and it goes without trace."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests
from deploy_support import need_lab

from lab import demo, state
from lab.host import LabHost, all_hosts
from lab.paths import REPO

pytestmark = pytest.mark.lab


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "lab", "demo", *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=REPO, timeout=600)


@pytest.fixture(scope="module")
def shown() -> Iterator[str]:
    """What a first `make demo` prints; a demo that somebody has up is left alone."""
    need_lab()
    if LabHost(demo.NAME) in all_hosts():
        pytest.fail("a demo is up; stop it first: make demo-down")
    try:
        done = run()
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        yield done.stdout
    finally:
        run("--down")


def test_it_ends_with_services_addresses_and_temperatures(shown: str) -> None:
    for service in ("victoriametrics", "hivemq", "vector", "alertmanager", "vmalert", "node_exporter", "monit", "hub"):
        assert service in shown
    assert "0 failed" in shown
    assert "Main furnace" in shown
    assert "make demo-down" in shown


def test_the_devices_use_the_hub(shown: str) -> None:
    assert "Fern was waited for: " in shown
    assert "(water, by mqtt) ended: ok" in shown
    assert "fern: water: done" in shown
    host = LabHost(demo.NAME)
    token = host.exec(["hostctl", "secrets", "show", "hub-admin-token"]).stdout.strip()
    assert token not in shown
    url = f"http://127.0.0.1:{host.port(8080)}/admin/devices"
    devices = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10).json()
    assert {"tablet-1", "fern"} <= {d["device_id"] for d in devices}


def test_what_is_a_stand_in_is_marked(shown: str) -> None:
    (vector,) = [line for line in shown.splitlines() if line.split()[:3] == ["vector", "active", "healthy"]]
    (hivemq,) = [line for line in shown.splitlines() if line.split()[:3] == ["hivemq", "active", "healthy"]]
    assert "(stand-in)" in vector
    assert "(File RBAC extension: stand-in)" in hivemq


@pytest.mark.parametrize("page", demo.PAGES)
def test_every_address_that_it_names_answers(shown: str, page: str) -> None:
    port, path = demo.PAGES[page]
    url = f"http://127.0.0.1:{LabHost(demo.NAME).port(port)}{path}"
    assert url in shown.replace("\n", "")
    assert requests.get(url, timeout=10).status_code == 200


def test_programs_are_told_where_it_is(shown: str) -> None:
    told = json.loads(run("--json").stdout)
    assert told["ports"]["8428"] == LabHost(demo.NAME).port(8428)


def test_hostctl_and_studio_are_there_for_whoever_looks_around(shown: str) -> None:
    host = LabHost(demo.NAME)
    assert "vector" in host.exec(["hostctl", "status"]).stdout
    assert "vector" in host.exec(["studio", "status", "lab"]).stdout


def test_again_nothing_is_done_but_the_question(shown: str) -> None:
    again = run()
    assert again.returncode == 0
    assert "Restart what changed" not in again.stderr


def test_a_trouble_that_is_none_is_refused(shown: str) -> None:
    for wish in ("nobody=flame-out", "main=sleepy"):
        refused = run("--trouble", wish)
        assert refused.returncode == 1
        assert refused.stderr.startswith("demo: ")


def test_it_goes_without_a_trace(shown: str) -> None:
    assert run("--down").returncode == 0
    assert not state.folder(demo.NAME).exists()
    assert demo.NAME not in subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
