"""The hub on a lab host, as its admin and its devices see it from outside."""

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from deploy_support import StudioHost

from studio.verify.probe.broker import Session

TAKES_EFFECT: float = 2.0
"""Seconds after the hub's answer within which the broker takes an account, or refuses it."""


@dataclass(frozen=True)
class Provisioned:
    """A device's own account at the broker."""

    device: str
    login: str
    password: str


class HubHost:
    """The hub's admin interface, and the broker, through the lab's forwarded ports."""

    def __init__(self, studio: StudioHost) -> None:
        self.studio = studio
        token = studio.hostctl("secrets", "show", "hub-admin-token").stdout.strip()
        self._admin = {"Authorization": f"Bearer {token}"}
        self.url = f"http://127.0.0.1:{studio.host.port(8080)}"

    def ask(self, method: str, path: str, *, admin: bool = True, **more: Any) -> requests.Response:
        return requests.request(method, self.url + path, headers=self._admin if admin else {}, timeout=30, **more)

    def must(self, method: str, path: str, **more: Any) -> Any:
        answer = self.ask(method, path, **more)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def key(self, kind: str = "camera") -> dict[str, str]:
        made: dict[str, str] = self.must("POST", "/admin/provision-keys", json={"kind": kind})
        return {"provisionDeviceKey": made["key"], "provisionDeviceSecret": made["secret"]}

    def provision(self, name: str, key: dict[str, str]) -> Provisioned:
        answer = self.must("POST", "/api/v1/provision", admin=False, json={**key, "deviceName": name})
        assert answer["status"] == "SUCCESS", answer
        return Provisioned(name, answer["credentialsValue"], answer["credentialsValue"])

    def session(self, account: Provisioned) -> Session:
        return Session(self.studio.host.port(1883), account.login, account.password)

    def login(self, account: Provisioned) -> str:
        """The broker's answer to the account."""
        session = self.session(account)
        session.close()
        return session.connected

    def seconds_until(self, account: Provisioned, answer: Callable[[str], bool], limit: float = 15.0) -> float:
        """How long it takes from now until the broker answers the account as wanted."""
        began = time.monotonic()
        while time.monotonic() - began < limit:
            asked = time.monotonic()
            if answer(self.login(account)):
                return asked - began
            time.sleep(0.05)
        raise AssertionError(f"{account.device}: not within {limit} s; the broker says {self.login(account)}")

    def let_in(self, key: dict[str, str], *names: str) -> list[Provisioned]:
        """Devices that are provisioned one after the other, each let in by the broker in time."""
        accounts, seconds = [], []
        for name in names:
            accounts.append(self.provision(name, key))
            seconds.append(self.seconds_until(accounts[-1], welcome))
        in_time(seconds)
        return accounts

    def shut_out(self, accounts: list[Provisioned]) -> None:
        """Revoke devices one after the other, each refused by the broker in time."""
        seconds = []
        for account in accounts:
            self.must("DELETE", f"/admin/devices/{account.device}")
            seconds.append(self.seconds_until(account, refused))
        in_time(seconds)

    def provisioned(self) -> dict[str, Any]:
        """What the host says of the accounts that the hub added."""
        return dict(self.studio.status()["provisioned"])

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.studio.host.read("/var/lib/sensor-pipeline/state/tls/ca.crt"))


def in_time(seconds: list[float]) -> None:
    """Fails unless it takes effect in time: of several tries one, since this machine may be busy with other tests."""
    print("takes effect after", ", ".join(f"{s:.2f} s" for s in seconds))
    assert min(seconds) < TAKES_EFFECT
    assert max(seconds) < 5 * TAKES_EFFECT


def welcome(answer: str) -> bool:
    return answer == "Success"


def refused(answer: str) -> bool:
    return "authorized" in answer or "Bad user name" in answer


@pytest.fixture
def hub(studio: StudioHost) -> HubHost:
    """The hub of the studio, which stays as its inventory says."""
    return HubHost(studio)


@pytest.fixture
def changing(hub: HubHost) -> Iterator[HubHost]:
    """The same for a test that changes the repository: what it says is deployed again when the test is done."""
    yield hub
    hub.studio.restore()
    hub.studio.must_deploy()
    hub.studio.settled(60)
