"""Disks that are full, read-only or broken, and files that are not what they should be: clear, quick, nothing lost."""

import codecs
import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from services.agent_cases import (
    NAME,
    OLD,
    SERIAL,
    faults_after_restart,
    faults_of,
    in_memory,
    is_new,
    prepare,
    start,
)
from standins.thingsboard_standin import ThingsboardStandin

from agent import cli, config, status
from agent.errors import AgentError, DiskError, InputError, PermissionsError

CALLS = ("open", "write", "fsync", "fchmod", "rename", "unlink", "mkdir")
ERRORS = {errno.ENOSPC: DiskError, errno.EIO: DiskError, errno.EROFS: PermissionsError}


@pytest.fixture(scope="module")
def server() -> Iterator[ThingsboardStandin]:
    with ThingsboardStandin({"key": "secret"}) as running:
        yield running


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    yield from in_memory()


class FailingCall:
    """Lets one `os` function fail once, at its nth use on something below a folder."""

    def __init__(self, name: str, at: int, number: int, directory: Path) -> None:
        self.real: Callable[..., Any] = getattr(os, name)
        self.at, self.number, self.directory = at, number, directory
        self.seen = 0

    def __call__(self, target: Any, *arguments: Any, **named: Any) -> Any:
        path = f"/proc/self/fd/{target}" if isinstance(target, int) else target
        path = Path(path).readlink() if isinstance(target, int) else os.fspath(path)
        if str(path).startswith(str(self.directory)):
            self.seen += 1
            if self.seen == self.at:
                raise OSError(self.number, os.strerror(self.number))
        return self.real(target, *arguments, **named)


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", CALLS)
def test_each_call_that_fails_once_ends_in_a_clear_error_or_in_success_and_loses_nothing(
    tmp_path: Path, server: ThingsboardStandin, call: str, number: int
) -> None:
    for at in range(1, 200):
        server.reset()
        directory = prepare(tmp_path / f"{call}-{at}", server)
        failing = FailingCall(call, at, number, directory)
        with mock.patch.object(os, call, failing):
            error = error_of(directory)
        if error is not None:
            assert isinstance(error, ERRORS[number])
            assert str(directory) in error.message
            assert os.strerror(number) in error.message
            assert error.advice
        assert faults_of(directory, server) == []
        assert faults_after_restart(directory, server) == []
        if failing.seen < at:
            assert at > 1, f"{call} is never used"
            return
    raise AssertionError("it never ended")


def error_of(directory: Path) -> AgentError | None:
    try:
        start(directory)
    except AgentError as error:
        return error
    return None


def provision_in_namespace(script: str, tmp_path: Path) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run the real program with mounts of its own, made by a shell script; `$AGENT` provisions the folder `$D`."""
    begun = time.monotonic()
    directory = tmp_path / "mounted"
    directory.mkdir(exist_ok=True)
    done = subprocess.run(
        ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else []), "sh", "-ec", script],
        env=os.environ
        | {"D": str(directory), "SOURCE": str(tmp_path / "source"), "AGENT": f"{sys.executable} -m agent provision"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done, time.monotonic() - begun


@pytest.mark.parametrize(
    ("trouble", "code", "words"),
    [
        ("mount -o remount,size=100k $D", 6, "No space left on device"),
        ("mount -o remount,ro $D", 7, "Read-only file system"),
    ],
    ids=["full disk", "read-only disk"],
)
def test_a_real_disk_that_cannot_be_written(
    tmp_path: Path, server: ThingsboardStandin, trouble: str, code: int, words: str
) -> None:
    server.reset()
    prepare(tmp_path / "source", server)
    script = f"""mount -t tmpfs -o size=1m tmpfs $D; cp -a $SOURCE/. $D/; {trouble}
        code=0; $AGENT --dir $D || code=$?; cat $D/thermal_config.json; ls -A $D/backups || true; exit $code"""
    done, seconds = provision_in_namespace(script, tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert seconds < 10
    assert done.stdout == OLD.decode()
    assert not server.devices, "a device was made that could not be kept"


SILENT = """
import socket, subprocess, sys
silent = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(2)]
for number, one in enumerate(silent, 1):
    one.bind((f"127.0.0.{number}", 53))
agent = subprocess.Popen([sys.executable, "-m", "agent", "provision", "--dir", sys.argv[1], "--log", "json"],
                         stderr=subprocess.PIPE, text=True)
for line in agent.stderr:
    print(line, end="", flush=True)
    if "trying again" in line:
        break
agent.kill()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has name servers of its own")
def test_name_servers_that_never_answer_are_told_of_within_ten_seconds(
    tmp_path: Path, server: ThingsboardStandin
) -> None:
    directory = prepare(tmp_path / "a", server)
    request = {"server": "mqtts://hub.local", "provision_device_key": "key", "provision_device_secret": "secret"}
    (directory / "provision.json").write_text(json.dumps(request))
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\nnameserver 127.0.0.2\nsearch lan\n")
    script = 'ip link set lo up; mount --bind "$1/resolv.conf" /etc/resolv.conf; exec "$2" -c "$3" "$1/a"'
    command = ["unshare", "--net", "--mount", "sh", "-ec", script, "sh", str(tmp_path), sys.executable, SILENT]
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["event"] == "network failure, trying again"
    assert "name resolution" in told["error"]
    assert 2 < time.monotonic() - begun < 20, "8 s of waiting, and a start on a busy machine"


def test_a_read_only_configuration_is_left_alone(tmp_path: Path, server: ThingsboardStandin) -> None:
    server.reset()
    directory = prepare(tmp_path / "a", server)
    (directory / config.FILE).chmod(0o444)
    with pytest.raises(PermissionsError) as caught:
        start(directory)
    path = directory / config.FILE
    assert str(caught.value) == f"{path} is read-only (mode 0444). Allow its owner to write: chmod u+w {path}"
    assert path.read_bytes() == OLD
    assert not server.devices
    path.chmod(0o640)
    assert faults_after_restart(directory, server) == []
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("what", ["folder", "configuration", "group", "request"])
def test_without_the_right_to_write(tmp_path: Path, server: ThingsboardStandin, what: str) -> None:
    server.reset()
    tmp_path.chmod(0o755)
    directory = prepare(tmp_path / "a", server)
    group = 0 if what == "group" else 65534
    os.chown(directory if what == "configuration" else directory / config.FILE, 65534, group)
    if what in ("group", "request"):
        os.chown(directory, 65534, 65534)
        (directory / "provision.json").chmod(0o644 if what == "group" else 0o600)
    told, reader = os.pipe()[::-1]
    codecs.lookup("utf-8-sig")  # somebody else may not be able to load it, where Python is in root's own folder
    if (pid := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            start(directory)
        except AgentError as error:
            os.write(told, f"{error.exit_code} {error}".encode())
        finally:
            os._exit(0)  # whatever happens: it must not go on with the tests
    os.close(told)
    os.waitpid(pid, 0)
    message = os.read(reader, 2000).decode()
    assert message.startswith("7 ")
    wanted = {
        "folder": "Permission denied",
        "configuration": f"{directory / config.FILE} belongs to user 0, the agent runs as user 65534. Give it to the "
        f"agent's account: chown 65534:65534 {directory / config.FILE}",
        "group": f"{directory / config.FILE} belongs to group 0, which the agent's account is not in. Give it to the "
        f"agent's account: chown 65534:65534 {directory / config.FILE}",
        "request": f"{directory}/provision.json: cannot read it: Permission denied. Let the agent's account read",
    }
    assert wanted[what] in message
    assert (directory / config.FILE).read_bytes() == OLD
    assert not server.devices


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("closed", [".", status.FILE])
def test_who_may_not_look_is_not_told_that_there_is_nothing(tmp_path: Path, closed: str) -> None:
    (tmp_path / status.FILE).write_text('{"phase": "completed", "history": []}')
    tmp_path.chmod(0o755)
    (tmp_path / closed).chmod(0o600)
    told, reader = os.pipe()[::-1]
    if (pid := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            with os.fdopen(told, "w") as out, contextlib.redirect_stderr(out):
                cli.main(["status", "--dir", str(tmp_path)])
        except SystemExit as end:
            os._exit(int(end.code or 0))
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == PermissionsError.exit_code
    path = tmp_path / closed
    assert os.read(reader, 2000).decode() == (
        f"studio-agent: {path}: cannot read it: Permission denied. Ask as root (sudo), or: Let the agent's account "
        f"read {path} (chown it to that account).\n"
    )


def test_a_symbolic_link_is_refused_and_what_it_points_at_untouched(tmp_path: Path, server: ThingsboardStandin) -> None:
    server.reset()
    directory = prepare(tmp_path / "a", server)
    elsewhere = tmp_path / "elsewhere.json"
    (directory / config.FILE).rename(elsewhere)
    (directory / config.FILE).symlink_to(elsewhere)
    with pytest.raises(InputError, match=r"is a symbolic link to .*elsewhere\.json\. Put the file itself there"):
        start(directory)
    assert elsewhere.read_bytes() == OLD
    assert (directory / config.FILE).is_symlink()
    assert not server.devices


@pytest.mark.parametrize("name", [config.BACKUPS, config.FILE, "provision.json"])
def test_a_file_where_a_folder_belongs_or_the_other_way_round(
    tmp_path: Path, server: ThingsboardStandin, name: str
) -> None:
    server.reset()
    directory = prepare(tmp_path / "a", server)
    if name == config.BACKUPS:
        (directory / name).write_text("not a folder")
    else:
        (directory / name).unlink()
        (directory / name).mkdir()
    with pytest.raises(InputError) as caught:
        start(directory)
    assert str(directory / name) in str(caught.value)
    assert not server.devices


def test_a_pipe_as_configuration_does_not_hang(tmp_path: Path, server: ThingsboardStandin) -> None:
    directory = prepare(tmp_path / "a", server)
    (directory / "provision.json").unlink()
    os.mkfifo(directory / "provision.json")
    begun = time.monotonic()
    with pytest.raises(InputError, match="is not a regular file"):
        start(directory)
    assert time.monotonic() - begun < 10


def test_the_newest_ten_backups_are_kept_and_only_the_owner_may_read_them(
    tmp_path: Path, server: ThingsboardStandin
) -> None:
    server.reset()
    directory = prepare(tmp_path / "a", server)
    (directory / config.BACKUPS).mkdir()
    (directory / config.BACKUPS / "mine.txt").write_text("not a backup")
    contents = []
    turns = 13
    for _ in range(turns):
        server.reset()
        (directory / "provision.txt").touch()
        contents.append((directory / config.FILE).read_bytes())
        start(directory)
    backups = sorted(p for p in (directory / config.BACKUPS).iterdir() if p.name != "mine.txt")
    assert [p.name.split(".")[2] for p in backups] == [f"v{n:06d}" for n in range(turns - 9, turns + 1)]
    assert [p.read_bytes() for p in backups] == contents[-10:]
    assert {p.stat().st_mode & 0o777 for p in backups} == {0o600}
    assert (directory / config.BACKUPS / "mine.txt").exists()


def test_without_a_configuration_a_new_one_is_made_for_the_owner_alone(
    tmp_path: Path, server: ThingsboardStandin
) -> None:
    server.reset()
    directory = prepare(tmp_path / "a", server)
    (directory / config.FILE).unlink()
    start(directory)
    path = directory / config.FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_bytes())["mqtt"]["username"] == server.devices[NAME].value
    assert list((directory / config.BACKUPS).iterdir()) == []


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'{"a": 1, "a": 2}', b"\xff", b'{"a": NaN}', b"{}" * 40000]
)
def test_a_damaged_configuration_is_never_replaced(tmp_path: Path, server: ThingsboardStandin, data: bytes) -> None:
    server.reset()
    directory = prepare(tmp_path / "a", server)
    (directory / config.FILE).write_bytes(data)
    with pytest.raises(InputError, match=r"thermal_config\.json is not usable: "):
        start(directory)
    assert (directory / config.FILE).read_bytes() == data
    assert not server.devices


def test_a_configuration_with_no_room_for_credentials_is_told_before_a_device_is_made(
    tmp_path: Path, server: ThingsboardStandin
) -> None:
    server.reset()
    directory = prepare(tmp_path / "a", server)
    data = json.dumps({"own": "x" * 65_500}).encode()
    (directory / config.FILE).write_bytes(data)
    with pytest.raises(InputError, match=r"thermal_config\.json would be \d+ bytes with the new credentials"):
        start(directory)
    assert (directory / config.FILE).read_bytes() == data
    assert not server.devices


def test_a_marker_that_is_taken_away_meanwhile_is_no_failure(tmp_path: Path, server: ThingsboardStandin) -> None:
    server.reset()
    directory = prepare(tmp_path / "a", server)
    server.hook = lambda moment: (directory / status.MARKER).unlink(missing_ok=True) if moment == "connect" else None
    try:
        start(directory)
    finally:
        server.hook = lambda moment: None
    assert not (directory / status.PROCESSED).exists()
    assert is_new((directory / config.FILE).read_bytes(), server)
    assert status.describe(directory, running=False)["phase"] == "completed"


def test_cards_copied_in_the_middle_of_an_attempt_are_devices_of_their_own(
    tmp_path: Path, server: ThingsboardStandin
) -> None:
    server.reset()
    directory = prepare(tmp_path / "a", server)
    server.hook = lambda moment: "cut" if moment in ("connect", "device-connect") else None
    try:
        with pytest.raises(AgentError):
            start(directory)
    finally:
        server.hook = lambda moment: None
    copy = Path(shutil.copytree(directory, tmp_path / "b"))
    start(directory)
    with mock.patch("services.agent_cases.SERIAL", SERIAL[::-1]):
        start(copy)
    assert is_new((directory / config.FILE).read_bytes(), server)
    assert is_new((copy / config.FILE).read_bytes(), server)
    assert len(server.devices) == 2
