"""One deploy a session: its host is snapshotted, and every test module begins with a host of its own from there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deploy_support import StudioHost, need_lab

from lab import paths
from lab.host import LabHost
from lab.run import locked

PREFIX = "test-studio-"


def sweep() -> None:
    """Remove the snapshots of sessions that were killed before they could do so."""
    with locked(paths.lab_dir() / "locks/sweep"):
        for left in paths.snapshots_dir().glob(f"{PREFIX}*"):
            if not Path("/proc", left.name.removeprefix(PREFIX)).exists():
                shutil.rmtree(left)


@pytest.fixture(scope="session")
def studio_snapshot() -> Iterator[str]:
    """The name of a snapshot of a host with the studio `lab` deployed.

    The repository is copied first, so that the deploys of a session are of one state of it. Every test that asks for
    it fails with what the deploy said when the deploy fails.
    """
    need_lab()
    sweep()
    name = f"{PREFIX}{os.getpid()}"
    host = LabHost(name)
    try:
        studio = StudioHost(host.up(fresh=True))
        studio.restore()
        studio.must_deploy()
        host.snapshot(name)
    finally:
        host.down()
    try:
        yield name
    finally:
        shutil.rmtree(paths.snapshots_dir() / name)


@contextmanager
def from_snapshot(snapshot: str, name: str) -> Iterator[StudioHost]:
    """A studio on a new host `name`; deployed once more, since the broker's certificate names host and address."""
    host = LabHost(name)
    try:
        studio = StudioHost(host.up(fresh=True, snapshot=snapshot))
        studio.must_deploy()
        studio.settled()
        studio.canary()
        yield studio
    finally:
        host.down()


@pytest.fixture(scope="module")
def studio(studio_snapshot: str, request: pytest.FixtureRequest) -> Iterator[StudioHost]:
    """The module's own deployed studio, on a host called after the module; everything is healthy, data flow."""
    module = str(request.module.__name__).rpartition(".")[2]
    with from_snapshot(studio_snapshot, module.replace("_", "-")) as deployed:
        yield deployed
