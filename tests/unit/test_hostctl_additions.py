"""What the hub may add to the broker's accounts, and what of a file that asks for more is left out."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hostctl import additions, broker, credentials
from hostctl.errors import HostError
from hostctl.paths import Paths

HASH = broker.new_hash(b"secret", b"0123456789ab")


def permission(topic: str = "camera/eye/telemetry", activity: str = "PUBLISH") -> dict[str, str]:
    return {"topic": topic, "activity": activity}


def file(**change: Any) -> dict[str, Any]:
    user = {"name": "eye", "hash": HASH, "roles": ["provisioned-eye"], **change.get("user", {})}
    role = {"id": "provisioned-eye", "permissions": [permission()], **change.get("role", {})}
    return {"users": [user, *change.get("users", [])], "roles": [role, *change.get("roles", [])]}


def parsed(value: Any) -> additions.Accepted:
    return additions.parse(json.dumps(value).encode())


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path)
    found.spool.mkdir(parents=True)
    found.additions.mkdir()
    return found


def leave(paths: Paths, content: bytes) -> None:
    (paths.spool / additions.NAME).write_bytes(content)


def test_a_proper_file_is_taken_whole() -> None:
    told = parsed(file())
    assert (told.users, told.roles, told.left_out) == (file()["users"], file()["roles"], [])


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"users": []}', b'{"users": {}, "roles": []}', b"\xff"]
)
def test_what_is_no_such_file_is_refused(content: bytes) -> None:
    with pytest.raises(additions.Refused):
        additions.parse(content)


@pytest.mark.parametrize(
    "topic",
    ["#", "+/+/telemetry", "camera/+/telemetry", "camera/#", "camera", "camera/eye", "$SYS/x/y", "a/b/c\nuser root",
     "camera/eye/a#", "camera/eye/#/x", "camera/eye/x y", "", "/camera/eye/x", "camera//x"],
)  # fmt: skip
def test_rights_over_more_than_a_devices_topics_are_left_out(topic: str) -> None:
    told = parsed(file(role={"permissions": [permission(topic)]}))
    if topic == "camera/eye":
        assert told.users, "the device's own level alone is no more than its topics"
    else:
        assert (told.users, told.roles) == ([], [])
        assert told.left_out


@pytest.mark.parametrize(
    "role",
    [
        {"id": "vector"}, {"id": "provisioned-\n"}, {"id": 5}, {"permissions": []}, {"permissions": "x"},
        {"permissions": [permission(activity="ALL")]}, {"permissions": [permission(), permission("camera/other/x")]},
    ],
)  # fmt: skip
def test_a_role_of_another_form_is_left_out_with_its_user(role: dict[str, Any]) -> None:
    told = parsed(file(role=role))
    assert told.users == []
    assert len(told.left_out) == 2


@pytest.mark.parametrize(
    "user",
    [
        {"name": "a:b"}, {"name": "a\nb"}, {"name": "a#"}, {"name": "+"}, {"name": ""}, {"name": None},
        {"name": "x" * 200}, {"name": "${{clientid}}"}, {"hash": "x"}, {"hash": f"{HASH}:1"}, {"hash": "YQ==:0:YQ=="},
        {"hash": None}, {"hash": HASH.replace(":10000:", ":99999999:")}, {"roles": []}, {"roles": ["vector"]},
        {"roles": [["x"]]}, {"roles": ["provisioned-eye", "provisioned-eye"]},
    ],
)  # fmt: skip
def test_a_user_of_another_form_is_left_out_and_the_others_are_not(user: dict[str, Any]) -> None:
    other = {"name": "other", "hash": HASH, "roles": ["provisioned-eye"]}
    told = parsed(file(user=user, users=[other]))
    assert [u["name"] for u in told.users] == ["other"]
    assert len(told.left_out) == 1
    assert HASH not in told.left_out[0]


def test_nobody_poses_as_a_part_of_the_studio() -> None:
    told = parsed(file(user={"roles": ["vector"]}, roles=[{"id": "vector", "permissions": [permission()]}]))
    assert told.users == []


def test_a_file_is_taken_once_and_leaves_the_spool(paths: Paths) -> None:
    leave(paths, json.dumps(file()).encode())
    assert additions.take(paths)
    assert list(paths.spool.iterdir()) == []
    assert additions.accepted(paths)["users"][0]["name"] == "eye"
    assert additions.status(paths)["accounts"] == 1
    assert (paths.additions / additions.NAME).stat().st_mode & 0o777 == 0o600
    assert not additions.take(paths)


def test_a_refused_file_leaves_what_was_taken_before(paths: Paths) -> None:
    leave(paths, json.dumps(file()).encode())
    additions.take(paths)
    leave(paths, b"{")
    assert additions.take(paths)
    assert additions.accepted(paths)["users"][0]["name"] == "eye"
    assert additions.status(paths)["refused"].startswith("it is no JSON object")
    assert list(paths.spool.iterdir()) == [], "else systemd would begin again at once, for ever"
    leave(paths, json.dumps({"users": [], "roles": []}).encode())
    additions.take(paths)
    assert additions.status(paths)["refused"] is None
    assert additions.accepted(paths) == {"users": [], "roles": []}


def test_a_run_that_was_killed_is_finished_by_the_next(paths: Paths) -> None:
    (paths.spool / additions.TAKEN).write_text(json.dumps(file()))
    assert additions.take(paths)
    assert additions.status(paths)["accounts"] == 1


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_a_plain_file_is_read(paths: Paths, kind: str) -> None:
    target = paths.spool / additions.NAME
    secret = paths.root / "secret"
    secret.write_text(json.dumps(file()))
    if kind == "link":
        target.symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(target)
    else:
        target.mkdir()
    with pytest.raises(HostError, match="cannot be taken over"):
        additions.take(paths)
    assert additions.accepted(paths)["users"] == []


def test_a_huge_file_is_refused(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(additions, "MAX_BYTES", 100)
    leave(paths, json.dumps(file()).encode())
    additions.take(paths)
    assert "larger than" in additions.status(paths)["refused"]


def test_mosquittos_list_gives_each_user_what_its_role_permits() -> None:
    told = parsed(file(role={"permissions": [permission(), permission("camera/eye/cmd/#", "SUBSCRIBE")]}))
    lines = credentials.mosquitto_acl(told.users, told.roles).decode()
    assert lines == "\nuser eye\ntopic write camera/eye/telemetry\ntopic read camera/eye/cmd/#\n"
