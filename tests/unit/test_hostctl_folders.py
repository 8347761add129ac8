"""Folders that a container writes to, and the units that watch one: made as they must be, never taken from others."""

import os
from pathlib import Path
from typing import Any

import pytest

from hostctl import folders, units
from hostctl.errors import HostError
from hostctl.manifest import Manifest
from hostctl.paths import Paths
from hostctl.run import Account

ME = Account("me", os.getuid(), os.getgid(), "/")


def manifest(*paths: str, name: str = "hub") -> Manifest:
    listed = [{"path": path, "uid": 0, "mode": "0700", "group": None} for path in paths]
    component: dict[str, Any] = {"name": name, "kind": "quadlet", "unit": f"{name}.service", "folders": listed}
    return Manifest({"components": [component], "files": {}})


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


def test_a_folder_is_made_with_its_mode_and_is_right_then(paths: Paths) -> None:
    wanted = manifest("/srv/a/b")
    assert folders.wrong(paths, wanted, ME) == ["/srv/a/b"]
    folders.place(paths, wanted, ME)
    assert folders.wrong(paths, wanted, ME) == []
    assert (paths.root / "srv/a/b").stat().st_mode & 0o7777 == 0o700
    (paths.root / "srv/a/b").chmod(0o755)
    assert folders.wrong(paths, wanted, ME) == ["/srv/a/b"]
    folders.place(paths, wanted, ME)
    assert folders.wrong(paths, wanted, ME) == []


def test_a_folder_of_somebody_else_is_left_alone_unless_it_is_empty(paths: Paths) -> None:
    other = Account("other", ME.uid + 1, ME.gid, "/")
    wanted, at = manifest("/srv/a"), paths.root / "srv/a"
    at.mkdir(parents=True)
    assert folders.foreign(paths, wanted, other) == []
    (at / "mine").touch()
    assert folders.foreign(paths, wanted, other) == ["/srv/a"]
    assert folders.foreign(paths, wanted, ME) == []
    with pytest.raises(HostError, match="something else has this folder"):
        folders.place(paths, wanted, other)
    assert at.stat().st_uid == ME.uid


def test_what_is_no_folder_is_never_taken(paths: Paths) -> None:
    (paths.root / "srv").mkdir()
    (paths.root / "elsewhere").mkdir()
    (paths.root / "srv/a").symlink_to(paths.root / "elsewhere")
    (paths.root / "srv/b").touch()
    assert folders.foreign(paths, manifest("/srv/a", "/srv/b"), ME) == ["/srv/a", "/srv/b"]


def test_without_an_account_nothing_can_be_wrong_yet(paths: Paths) -> None:
    assert folders.wrong(paths, manifest("/srv/a"), None) == []


def test_the_watch_looks_at_what_hostctl_takes_away(paths: Paths) -> None:
    made = units.wanted(paths, manifest())
    watch = made[units.ACCOUNTS_PATH].splitlines()
    assert f"PathExists={paths.spool}/hub.json" in watch
    assert not [line for line in watch if line.startswith(("PathChanged", "PathModified"))]
    assert f"ExecStart={paths.current}/bin/hostctl accounts" in made[units.ACCOUNTS].splitlines()
    assert "StartLimitIntervalSec=0" in made[units.ACCOUNTS].splitlines(), "a burst of devices must not end the watch"


def test_units_that_are_not_wanted_or_differ_are_wrong(paths: Paths) -> None:
    paths.units.mkdir(parents=True)
    with_hub, without = manifest(), manifest(name="vector")
    assert len(units.wrong(paths, with_hub)) == 2
    for name, text in units.wanted(paths, with_hub).items():
        (paths.units / name).write_text(text)
    assert units.wrong(paths, with_hub) == []
    assert len(units.wrong(paths, without)) == 2
    (paths.units / units.ACCOUNTS).write_text("[Unit]\n")
    assert units.wrong(paths, with_hub) == [str(paths.units / units.ACCOUNTS)]
