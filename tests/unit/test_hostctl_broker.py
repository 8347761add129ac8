"""The broker's account files: the studio's own accounts, and those of devices that the hub provisioned."""

import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from test_hostctl_additions import HASH, file

from hostctl import additions, broker, manifest, podman
from hostctl.manifest import Manifest
from hostctl.paths import Paths
from hostctl.run import Account

WHO = Account("studio", os.getuid(), os.getgid(), "/")
ROLES = {"roles": [{"id": "vector", "permissions": [{"topic": "furnace/+/telemetry", "activity": "SUBSCRIBE"}]}]}
FILES = {
    "hivemq/file-rbac/config.xml": "<extension-configuration/>\n",
    "hivemq/file-rbac/roles.json": json.dumps(ROLES),
    "mosquitto/acl": "user vector\ntopic read furnace/+/telemetry\n",
}


class Host:
    """A host with a generation in use, and podman's answers."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root)
        self.secrets = {"broker-vector": b"word"}
        self.told: list[str] = []
        self.paths.spool.mkdir(parents=True)

    def use(self, generation: str, kind: str = "hivemq", *, hub: bool = True) -> Manifest:
        folder = self.paths.generation(generation)
        for path, text in FILES.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        components = [{"name": name, "kind": "quadlet", "unit": f"{name}.service"} for name in ("hub",) if hub]
        users = [{"name": "vector", "secret": "broker-vector", "role": "vector"}]
        told = {"format": 1, "generation": generation, "studio": "s", "broker": kind, "components": components}
        files = {path: {"sha256": "0"} for path in FILES}
        (folder / "manifest.json").write_text(json.dumps({**told, "broker_users": users, "files": files}))
        self.paths.current.unlink(missing_ok=True)
        self.paths.current.symlink_to(f"generations/{generation}")
        return manifest.current(self.paths)

    def leave(self, value: Any) -> str:
        """What the hub leaves, and hostctl takes; returns what it says."""
        (self.paths.spool / additions.NAME).write_text(json.dumps(value))
        return broker.take_additions(self.paths, WHO)

    def names(self, kind: str = "hivemq") -> set[str]:
        """The accounts in the broker's file."""
        if kind == "mosquitto":
            return {line.split(":")[0] for line in (self.paths.state / "mosquitto/passwd").read_text().splitlines()}
        root = ET.parse(self.paths.state / "hivemq-rbac/credentials.xml")  # noqa: S314 - made here
        return {str(name.text) for name in root.findall("users/user/name")}

    def needed(self, wanted: Manifest) -> str | None:
        found: str | None = broker.facts(self.paths, wanted, podman.secrets(WHO))["needed"]
        return found


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path)
    monkeypatch.setattr(podman, "secrets", lambda who: {n: f"id-of-{v.decode()}" for n, v in made.secrets.items()})
    monkeypatch.setattr(podman, "get_secrets", lambda names, who: {n: made.secrets[n] for n in names})
    monkeypatch.setattr(broker, "inside_uid", lambda who, uid: os.getuid())
    monkeypatch.setattr(os, "fchown", lambda *_: None)
    monkeypatch.setattr(broker, "run", lambda argv, **_: made.told.append(" ".join(argv)))
    return made


def test_a_provisioned_device_is_added_to_the_studios_own_accounts(host: Host) -> None:
    wanted = host.use("a")
    assert broker.ensure(host.paths, wanted, WHO)
    assert host.names() == {"vector"}
    assert host.leave(file()) == "1 accounts"
    assert host.names() == {"vector", "eye"}
    assert host.needed(wanted) is None, "an unchanged deploy has nothing to do for it"
    host.leave({"users": [], "roles": []})
    assert host.names() == {"vector"}


def test_mosquitto_is_told_and_gets_the_rights_too(host: Host) -> None:
    broker.ensure(host.paths, host.use("a", "mosquitto"), WHO)
    host.told.clear()
    host.leave(file())
    assert host.names("mosquitto") == {"vector", "eye"}
    acl = (host.paths.state / "mosquitto/acl").read_text()
    assert acl == FILES["mosquitto/acl"] + "\nuser eye\ntopic write camera/eye/telemetry\n"
    assert host.told == ["podman kill --signal HUP mosquitto"]


def test_what_is_refused_changes_nothing(host: Host) -> None:
    wanted = host.use("a")
    broker.ensure(host.paths, wanted, WHO)
    host.leave(file())
    assert host.leave([]).startswith("refused, what was taken before still holds: ")
    assert host.names() == {"vector", "eye"}
    assert host.needed(wanted) is None


def test_nothing_left_is_nothing_done(host: Host) -> None:
    broker.ensure(host.paths, host.use("a"), WHO)
    assert broker.take_additions(host.paths, WHO) == "nothing new"


def test_before_the_studios_own_accounts_are_written_it_waits_for_the_deploy(host: Host) -> None:
    wanted = host.use("a")
    host.leave(file())
    assert not (host.paths.state / "hivemq-rbac").exists()
    broker.ensure(host.paths, wanted, WHO)
    assert host.names() == {"vector", "eye"}


def test_a_new_password_of_our_own_keeps_what_the_hub_added(host: Host) -> None:
    wanted = host.use("a")
    broker.ensure(host.paths, wanted, WHO)
    host.leave(file())
    host.secrets["broker-vector"] = b"another"
    assert host.needed(wanted) == "accounts, rights or passwords changed"
    assert broker.ensure(host.paths, wanted, WHO)
    assert host.names() == {"vector", "eye"}


def test_another_generation_and_another_broker_keep_them_too(host: Host) -> None:
    broker.ensure(host.paths, host.use("a"), WHO)
    host.leave(file())
    broker.ensure(host.paths, host.use("b"), WHO)
    assert host.names() == {"vector", "eye"}
    broker.ensure(host.paths, host.use("c", "mosquitto"), WHO)
    assert host.names("mosquitto") == {"vector", "eye"}


def test_without_a_hub_none_of_its_accounts_is_let_in_until_it_is_back(host: Host) -> None:
    broker.ensure(host.paths, host.use("a"), WHO)
    host.leave(file())
    without = host.use("b", hub=False)
    assert host.needed(without) is not None
    broker.ensure(host.paths, without, WHO)
    assert host.names() == {"vector"}
    broker.ensure(host.paths, host.use("a"), WHO)
    assert host.names() == {"vector", "eye"}


def test_an_account_of_the_studios_own_is_never_replaced(host: Host) -> None:
    wanted = host.use("a")
    broker.ensure(host.paths, wanted, WHO)
    before = (host.paths.state / "hivemq-rbac/credentials.xml").read_text()
    host.leave(file(user={"name": "vector"}))
    root = ET.parse(host.paths.state / "hivemq-rbac/credentials.xml")  # noqa: S314 - made here
    (vector,) = root.findall("users/user")
    assert vector.findtext("password") != HASH
    assert vector.findtext("password") in before


def test_a_file_that_was_changed_by_hand_is_put_right_with_all_accounts(host: Host) -> None:
    wanted = host.use("a")
    broker.ensure(host.paths, wanted, WHO)
    host.leave(file())
    target = host.paths.state / "hivemq-rbac/credentials.xml"
    target.chmod(0o600)
    target.write_text("<file-rbac/>")
    assert host.needed(wanted) == "they were changed on the host"
    broker.ensure(host.paths, wanted, WHO)
    assert host.names() == {"vector", "eye"}
