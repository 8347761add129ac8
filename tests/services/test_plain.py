"""Where no host can be booted the demo runs as plain processes, for a user without any rights, and leaves nothing."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from lab.paths import REPO
from lab.plain import parts
from lab.plain.layout import Layout

pytestmark = pytest.mark.services

ORDINARY = "nobody"
START = 240.0


def cannot(reason: str) -> None:
    """Skip, unless REQUIRE_LAB says that this is a failure."""
    if os.environ.get("REQUIRE_LAB") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the lab that the ordinary user can write to, and for temporary files of its own."""
    if reason := parts.why_not():
        cannot(reason)
    made = Path("/tmp") / f"test-plain-{os.getpid()}"
    (made / "tmp").mkdir(parents=True)
    if os.geteuid() == 0:
        for path in (made, made / "tmp"):
            shutil.chown(path, ORDINARY)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def argv(folder: Path, *arguments: str) -> list[str]:
    """`python -m lab ARGUMENTS` as a user without rights: this one, or when this is root, nobody.

    Root's own Python may be where others cannot read, so that user takes the system's, of the same version.
    """
    python = sys.executable
    if os.geteuid() == 0:
        python = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
        if not os.access(python, os.X_OK):
            cannot(f"{python} is not there, and nobody but root may use {sys.executable}")
    site = next(path for path in sys.path if path.endswith("site-packages"))
    settings = {
        "PYTHONPATH": f"{REPO}:{REPO / 'files'}:{site}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LAB_DIR": str(folder / "lab"),
        "TMPDIR": str(folder / "tmp"),
        "HOME": str(folder),
    }
    words = ["env", *(f"{key}={value}" for key, value in settings.items()), python, "-m", "lab", *arguments]
    return ["runuser", "-u", ORDINARY, "--", *words] if os.geteuid() == 0 else words


def processes(folder: Path) -> set[int]:
    """Whatever still runs out of the folder."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder).encode() in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
        except OSError:
            continue
    return found - {os.getpid()}


class Demo:
    """`make demo` of the ordinary user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "demo.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(argv(folder, "demo"), cwd=REPO, stdout=log, stderr=log)

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait_for_the_table(self) -> None:
        until = time.monotonic() + START
        while "Stop it:" not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < until, self.said
            time.sleep(0.5)

    def address(self, service: str) -> str:
        found = re.search(rf"^{service} .*\s(http://127\.0\.0\.1:\d+)", self.said, re.MULTILINE)
        assert found, self.said
        return found[1]

    def leader(self) -> int:
        """The process that the demo itself is (runuser stands before it)."""
        return int(json.loads((self.folder / "lab/plain.json").read_text())["pid"])


@pytest.fixture
def demo(folder: Path) -> Iterator[Demo]:
    started = Demo(folder)
    try:
        started.wait_for_the_table()
        yield started
    finally:
        if started.process.poll() is None:
            started.process.terminate()
            started.process.wait(60)


def nothing_is_left(folder: Path) -> None:
    until = time.monotonic() + 60
    while processes(folder) and time.monotonic() < until:
        time.sleep(0.1)
    assert processes(folder) == set()
    assert list((folder / "tmp").iterdir()) == []
    assert not (folder / "lab/plain.json").exists()


def query(address: str, text: str) -> list[dict[str, dict[str, str]]]:
    answer = requests.get(f"{address}/api/v1/query", params={"query": text}, timeout=10)
    answer.raise_for_status()
    found: list[dict[str, dict[str, str]]] = answer.json()["data"]["result"]
    return found


def test_an_ordinary_user_sees_why_and_the_whole_pipeline_until_ctrl_c(demo: Demo) -> None:
    assert "no host can be booted here: it needs root" in demo.said
    database = demo.address("victoriametrics")
    metrics = [found["metric"] for found in query(database, "furnace_furnace_temp")]
    assert {(m["studio"], m["furnace"], m["db"]) for m in metrics} == {
        ("lab", "main", "sensors"),
        ("lab", "glory-hole", "sensors"),
    }
    rules = requests.get(f"{demo.address('vmalert')}/api/v1/rules", timeout=10).json()["data"]["groups"]
    assert {"shop", "system"} <= {group["name"] for group in rules}
    until = time.monotonic() + 60
    while "heartbeat" not in requests.get(demo.address("recorded alerts") + "/lab/records", timeout=10).text:
        assert time.monotonic() < until, "vmalert and Alertmanager do not bring the watchdog to the webhook"
        time.sleep(1)
    os.kill(demo.leader(), signal.SIGINT)
    assert demo.process.wait(60) == 0
    nothing_is_left(demo.folder)


def test_a_killed_process_is_started_again_and_demo_down_ends_it(demo: Demo) -> None:
    (line,) = [line for line in demo.said.splitlines() if line.startswith("vmalert ")]
    os.kill(int(line.split()[2]), signal.SIGKILL)
    until = time.monotonic() + 30
    while "vmalert ended with -9; it is started again" not in demo.said:
        assert time.monotonic() < until, demo.said
        time.sleep(0.2)
    second = subprocess.run(argv(demo.folder, "demo"), cwd=REPO, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "it runs already" in second.stderr
    subprocess.run(argv(demo.folder, "demo", "--down"), cwd=REPO, check=True)
    assert demo.process.wait(60) == 0
    nothing_is_left(demo.folder)


def test_a_killed_demo_takes_its_processes_with_it_and_demo_down_clears_up(demo: Demo) -> None:
    os.kill(demo.leader(), signal.SIGKILL)
    demo.process.wait(60)
    until = time.monotonic() + 60
    while processes(demo.folder) and time.monotonic() < until:
        time.sleep(0.1)
    assert processes(demo.folder) == set()
    subprocess.run(argv(demo.folder, "demo", "--down"), cwd=REPO, check=True)
    nothing_is_left(demo.folder)


def test_only_whole_paths_of_a_container_are_moved(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    moved = layout.of_container("alertmanager", "--config.file=/etc/alertmanager/x.yml --storage.path=/alertmanager")
    assert moved == f"--config.file={tmp_path}/current/alertmanager/x.yml --storage.path={tmp_path}/data/alertmanager"
    untouched = "url: http://127.0.0.1:1/alertmanager/ /alertmanager-data /srv/alertmanager"
    assert layout.of_container("alertmanager", untouched) == untouched
