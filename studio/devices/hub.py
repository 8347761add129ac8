"""What the studio's hub must do for a camera: a key to provision itself with, and its account taken away again.

The hub's admin interface listens on the host's loopback alone, so the question is asked there, as root, with the token
that is there: it never leaves the host.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from studio.host import Failed, run
from studio.host.hostctl import PROGRAM
from studio.model import Studio
from studio.render.hub import ADMIN_TOKEN

Act = Literal["open", "close", "forget"]
ASK: Final = """
import json, subprocess, sys, urllib.error, urllib.parse, urllib.request
told = json.load(sys.stdin)
shown = subprocess.run([told["hostctl"], "secrets", "show", told["token"]], capture_output=True, text=True)
if shown.returncode:
    sys.exit("the hub's admin token cannot be read: " + shown.stderr.strip())
def ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": "Bearer " + shown.stdout.strip(), "Content-Type": "application/json"}
    request = urllib.request.Request(told["url"] + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        sys.exit("the hub answered %s: %s" % (error.code, error.read(300).decode("utf-8", "replace")))
    except OSError as error:
        sys.exit("the hub at %s does not answer: %s" % (told["url"], error))
device = urllib.parse.quote(told["device"])
for key in ask("GET", "/admin/provision-keys") or []:
    if key["note"] == told["note"] and key["revoked_at"] is None:
        ask("DELETE", "/admin/provision-keys/" + key["key"])
made = {}
if told["act"] == "open":
    ask("DELETE", "/admin/devices/" + device + "/credentials")
    made = ask("POST", "/admin/provision-keys", {"kind": "camera", "note": told["note"]})
elif told["act"] == "forget":
    ask("DELETE", "/admin/devices/" + device)
json.dump(made, sys.stdout)
"""
AUTHORITY: Final = "/var/lib/sensor-pipeline/state/tls/ca.crt"


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is good for one provisioning."""

    key: str
    secret: str = field(repr=False)


def open_for(studio: Studio, camera: str) -> Key:
    """A fresh key for one camera; its earlier keys, and the account that it may have had, are good no more."""
    made = _ask(studio, camera, "open")
    return Key(made["key"], made["secret"])


def close_for(studio: Studio, camera: str) -> None:
    """The camera's keys are good no more; its account stays."""
    _ask(studio, camera, "close")


def forget(studio: Studio, camera: str) -> None:
    """The camera's account and keys are good no more."""
    _ask(studio, camera, "forget")


def authority(studio: Studio) -> bytes:
    """The certificate of the studio's own authority."""
    answer = run(studio, ["cat", "--", AUTHORITY])
    if answer.code or b"BEGIN CERTIFICATE" not in answer.out:
        raise Failed(f"{studio.name}: its host has no {AUTHORITY}: studio deploy {studio.name}")
    return answer.out


def _ask(studio: Studio, camera: str, act: Act) -> dict[str, Any]:
    told = {
        "hostctl": PROGRAM,
        "token": ADMIN_TOKEN,
        "url": f"http://127.0.0.1:{studio.ports.hub}",
        "device": camera,
        "note": f"studio devices: {camera}",
        "act": act,
    }
    answer = run(studio, ["python3", "-I", "-c", ASK], stdin=json.dumps(told).encode())
    if answer.code:
        raise Failed(f"{studio.name}: {answer.err or answer.text.strip()}")
    made: dict[str, Any] = json.loads(answer.out)
    return made
