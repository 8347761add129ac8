"""What the tests of provisioning share: a folder that asks for it, and what must be true of it after a crash."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from standins.thingsboard_standin import ThingsboardStandin

from agent import config, folder, journal, provision, status
from agent.logs import open_log

OLD = b'{"device_name": "before", "mqtt": {"host": "old", "kept": 1}, "lens": [1.5, "\\u00e9"]}\n'
PACE = provision.Pace(retries=(0.01,) * 3, patience=(0.01,) * 3, step=5)
SERIAL = "00000000a1b2c3"
NAME = "thermal-camera-a1b2c3"


def in_memory() -> Iterator[Path]:
    """A folder in memory: the harnesses make thousands of syncs, and need no real disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="agent-", dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


def prepare(directory: Path, server: ThingsboardStandin) -> Path:
    directory.mkdir()
    (directory / "provision.txt").touch()
    (directory / "provision.json").write_text(
        json.dumps(
            {
                "server": f"mqtt://127.0.0.1:{server.port}",
                "provision_device_key": "key",
                "provision_device_secret": "secret",
            }
        )
    )
    (directory / config.FILE).write_bytes(OLD)
    return directory


def ask(directory: Path, server: ThingsboardStandin, **changes: object) -> None:
    """Ask for provisioning at a server, as a person does: provision.json changed, then the marker."""
    path = directory / "provision.json"
    new = {**json.loads(path.read_text()), "server": f"mqtt://127.0.0.1:{server.port}", **changes}
    path.write_text(json.dumps(new))
    (directory / "provision.txt").touch()


def start(directory: Path) -> None:
    """What the agent does at every start."""
    with Path(os.devnull).open("w") as nowhere, folder.held(directory):
        log = open_log("json", stream=nowhere)
        if status.is_asked(directory):
            provision.provision(directory, log, PACE, SERIAL)
        else:
            provision.settle(directory, log)


def faults_of(directory: Path, server: ThingsboardStandin) -> list[str]:
    """What is wrong with the folder right after a crash; it may be old or new, and nothing else."""
    data = (directory / config.FILE).read_bytes() if (directory / config.FILE).exists() else None
    return [] if data == OLD or (data is not None and is_new(data, server)) else [f"corrupt configuration: {data!r}"]


def is_new(data: bytes, server: ThingsboardStandin) -> bool:
    try:
        values = json.loads(data)
    except ValueError:
        return False
    device = server.devices.get(values.get("device_name"))
    kept = values.get("lens") == [1.5, "é"] and values["mqtt"].get("kept") == 1
    return device is not None and kept and values["mqtt"]["username"] == device.value


def faults_after_restart(directory: Path, server: ThingsboardStandin) -> list[str]:
    """What is wrong once the agent was started again: it must have come to the end, with one device."""
    try:
        start(directory)
        start(directory)
    except Exception as error:
        return [f"the restart failed: {error!r}"]
    names = {p.name for p in directory.iterdir()}
    expected = {"provision.txt.processed", "provision.json", config.FILE, config.BACKUPS, status.FILE, journal.DEVICES}
    backups = [p.read_bytes() for p in (directory / config.BACKUPS).iterdir()]
    return [
        told
        for wrong, told in (
            (list(server.devices) != [NAME], f"devices on the server: {list(server.devices)}"),
            (not is_new((directory / config.FILE).read_bytes(), server), "the configuration is not the new one"),
            (status.read(directory).get("phase") != "completed", "the status is not completed"),
            (names != expected, f"files: {sorted(names ^ expected)} too many or too few"),
            (backups != [OLD], f"{len(backups)} backups, or not of the old configuration"),
        )
        if wrong
    ]
