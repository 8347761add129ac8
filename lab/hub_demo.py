"""The demo's hub: a tablet is enrolled, a plant is waited for, a command runs with its output."""

import time
from collections.abc import Callable
from typing import Any, Final

import requests

from lab.host import LabHost
from lab.run import LabError

WAIT_SECONDS: Final = 75.0
"""More than the minute between two reports of a plant."""
HUB: Final = 8080
ACTIVE: Final = ("queued", "sent", "running")


class DemoHub:
    """The hub of a lab host as its admin asks it."""

    def __init__(self, host: LabHost, token: str) -> None:
        self._url = f"http://127.0.0.1:{host.port(HUB)}"
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, **more: Any) -> Any:
        answer = requests.request(method, self._url + path, headers=self._headers, timeout=WAIT_SECONDS + 10, **more)
        if answer.status_code != 200:
            raise LabError(f"the hub answers {answer.status_code} to {method} {path}: {answer.text[:300]}")
        return answer.json()

    def enrolment_token(self) -> str:
        """A token for one tablet; it may be registered once more when the demo is begun again."""
        made: dict[str, str] = self.ask("POST", "/admin/tokens", json={"device_id": "tablet-1", "note": "demo"})
        return made["token"]

    def wait_for(self, device: str) -> dict[str, Any]:
        """What an app that provisions a plant asks: is it online?"""
        wanted = {"method": "softap", "timeout": WAIT_SECONDS, "require_fresh": False, "device_id": device}
        found: dict[str, Any] = self.ask("POST", "/provision/wait", json=wanted)
        if found["status"] == "timeout":
            raise LabError(f"the hub heard nothing of {device} within {WAIT_SECONDS:.0f} s")
        return found

    def command(self, device: str, action: str) -> dict[str, Any]:
        """A run from its command to its end."""
        run = self.ask("POST", "/admin/command", json={"device_id": device, "action": action, "protocol": "mqtt"})

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = self.ask("GET", f"/admin/runs/{run['request_id']}")
            return found if found["status"] not in ACTIVE else None

        return _until(f"the end of {action} of {device}", ended)


def _until(what: str, ask: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        if found := ask():
            return found
        time.sleep(0.3)
    raise LabError(f"no {what} within {WAIT_SECONDS:.0f} s")


def show_runs(plant: str, waited: dict[str, Any], run: dict[str, Any]) -> None:
    """What the hub's devices did."""
    lines = [
        "\nThe hub",
        f"  {plant} was waited for: {waited['status']} after {waited['elapsed']} s",
        f"  run {run['request_id']} ({run['action']}, by {run['protocol']}) ended: {run['status']}",
        *(f"    {chunk['data'].rstrip()}" for chunk in run["output"]),
    ]
    print("\n".join(lines), flush=True)
