"""The wheel has every part of the rooms that run by themselves, and the hub and the agent work from it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from studio.paths import ROOT

ROOMS = {
    "studio": "studio",
    "agent": "agent",
    "hub": "hub",
    "dashboards": "dashboards",
    "hostctl": "files/hostctl",
    "devicectl": "files/devicectl",
}
BUILD_ONLY = {"hub/Containerfile", "hub/requirements.in", "hub/requirements.lock"}
"""What an image is built from."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of a copy, since a build leaves its own files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    leave = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("studio", "agent", "hub", "dashboards", "files", "lab"):
        shutil.copytree(ROOT / name, folder / name, ignore=leave, symlinks=True)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    argv = [sys.executable, "-m", "pip", "wheel", "-q", ".", "--no-deps", "--no-build-isolation", "-w", "out"]
    subprocess.run(argv, check=True, cwd=folder)
    (made,) = (folder / "out").glob("*.whl")
    return made


def test_it_has_every_file_of_the_rooms(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    wanted = {
        f"{room}/{file.relative_to(ROOT / folder).as_posix()}"
        for room, folder in ROOMS.items()
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {"hub/page/page.js", "hub/migrations/versions/0001_the_first_tables.py", "hostctl/vault.py"} <= wanted
    assert sorted(wanted - packed - BUILD_ONLY) == []
    assert not [name for name in packed if name.startswith(("tests/", "bench/")) or "__pycache__" in name]


def test_hub_and_agent_run_from_it(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    database = {"HUB_ADMIN_TOKEN": "0123456789abcdef", "HUB_DATABASE_URL": f"sqlite:///{tmp_path}/hub.db"}
    environment = {**os.environ, **database, "PYTHONPATH": str(tmp_path / "installed")}

    def run(*words: str) -> str:
        argv = [sys.executable, *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("-c", "import agent, hub; print(agent.__file__, hub.__file__)").split()
    assert all(Path(file).is_relative_to(tmp_path / "installed") for file in where)
    assert "provision-key" in run("-m", "hub", "--help")
    run("-m", "hub", "migrate")
    assert (tmp_path / "hub.db").stat().st_size > 10_000
    assert run("-m", "agent", "--help").startswith("usage: studio-agent")
