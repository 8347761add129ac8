"""Programs of the host, and its loopback."""

import json
import os
import pwd
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

SECONDS = 60


def run(argv: Sequence[str], user: str | None = None) -> tuple[int, str]:
    """Exit code and output (both streams, at most 4 MiB) of a program, run as root or as the studio's account."""
    words = list(argv)
    if user is not None:
        account = pwd.getpwnam(user)
        environment = [f"HOME={account.pw_dir}", f"XDG_RUNTIME_DIR=/run/user/{account.pw_uid}", f"USER={user}"]
        bus = f"DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{account.pw_uid}/bus"
        words = ["runuser", "-u", user, "--", "env", *environment, bus, *words]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=SECONDS, check=False, cwd="/", env={**os.environ, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, str(error)
    return done.returncode, done.stdout[: 4 << 20].decode("utf-8", "replace")


def fetch(url: str, token: bytes | None = None) -> dict[str, Any]:
    """{"status", "text", "json"} of a URL of the host, asked with a token; status 0 and why when nothing answers."""
    headers = {} if token is None else {"Authorization": f"Bearer {token.decode('utf-8', 'replace')}"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:  # noqa: S310
            text = answer.read(8 << 20).decode("utf-8", "replace")
            status = answer.status
    except urllib.error.HTTPError as error:
        return {"status": error.code, "text": str(error), "json": None}
    except OSError as error:
        return {"status": 0, "text": str(error), "json": None}
    try:
        parsed = json.loads(text)
    except ValueError:
        return {"status": status, "text": text, "json": None}
    return {"status": status, "text": "", "json": parsed}
