"""Run programs, as root or as the account that owns the containers."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from hostctl.errors import HostError


class Account(NamedTuple):
    """The account that runs the containers."""

    name: str
    uid: int
    gid: int
    home: str

    @property
    def environment(self) -> dict[str, str]:
        run = f"/run/user/{self.uid}"
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": self.home,
            "USER": self.name,
            "LOGNAME": self.name,
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": run,
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={run}/bus",
        }


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """What it said, for a message: its errors, else its output."""
        return (self.err.strip() or self.out.strip() or f"exit code {self.code}").replace("\x00", "")


def account(name: str) -> Account | None:
    """The account of that name, or None."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def need_account(name: str) -> Account:
    found = account(name)
    if found is None:
        raise HostError(f"the account {name!r} is not there: run the deploy")
    return found


def start(
    argv: Sequence[str], who: Account | None = None, stdin: IO[bytes] | int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    """Start a program without waiting for it; its output is collected by `finish`."""
    options: dict[str, Any] = {}
    if who is not None:
        options = {"env": who.environment, "cwd": "/"}
        if os.geteuid() != who.uid:
            options |= {"user": who.uid, "group": who.gid, "extra_groups": os.getgrouplist(who.name, who.gid)}
    else:
        options = {"env": {**os.environ, "LC_ALL": "C.UTF-8"}}
    return subprocess.Popen(list(argv), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def finish(process: "subprocess.Popen[bytes]", stdin: bytes | None = None, timeout: float | None = None) -> Result:
    """Wait for a program that `start` started."""
    try:
        out, err = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        return Result(124, out.decode(errors="replace"), f"gave no answer within {timeout:g} s")
    return Result(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def run(
    argv: Sequence[str],
    *,
    who: Account | None = None,
    stdin: bytes | None = None,
    file: Path | None = None,
    timeout: float | None = 900,
) -> Result:
    """Run a program to its end; a missing program is exit code 127."""
    try:
        if file is not None:
            with file.open("rb") as source:
                return finish(start(argv, who, source), timeout=timeout)
        process = start(argv, who, subprocess.DEVNULL if stdin is None else subprocess.PIPE)
    except FileNotFoundError as error:
        return Result(127, "", f"{error.filename}: no such program or file")
    return finish(process, stdin, timeout)


def must(argv: Sequence[str], doing: str, **options: Any) -> Result:
    """Run a program that has to succeed; else a HostError that says what it was doing and what the program said."""
    result = run(argv, **options)
    if result.code:
        raise HostError(f"{doing}: {Path(argv[0]).name} failed: {result.text}")
    return result
