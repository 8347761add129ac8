"""The device's own credentials: how they are asked for, how the answer repeats them, how they log in."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from agent.mqtt import Endpoint, Login
from agent.request import ProvisionRequest


class Credentials(NamedTuple):
    """A name and what proves it. `proof` is the token or password; for X.509 the PEM certificate."""

    type: str
    name: str
    proof: str

    def __repr__(self) -> str:
        return f"Credentials(type={self.type!r}, name={self.name!r})"

    @property
    def login(self) -> Login:
        match self.type:
            case "ACCESS_TOKEN":
                # ThingsBoard looks at the user name alone; a broker with user names and passwords wants both.
                return Login(self.name, self.proof, self.proof)
            case "MQTT_BASIC":
                return Login(self.name, self.name, self.proof)
            case _:
                return Login(self.name)

    @property
    def asked(self) -> dict[str, str]:
        """The fields of the request that choose these credentials."""
        match self.type:
            case "ACCESS_TOKEN":
                chosen = {"token": self.proof}
            case "MQTT_BASIC":
                chosen = {"clientId": self.name, "username": self.name, "password": self.proof}
            case _:
                chosen = {"hash": self.proof}
        return {"deviceName": self.name, "credentialsType": self.type, **chosen}

    def repeated_in(self, answer: Mapping[str, Any]) -> bool:
        """Whether an answer speaks of exactly these credentials; all that tells our answer from another's."""
        if answer.get("credentialsType") != self.type:
            return False
        value = answer.get("credentialsValue")
        match self.type:
            case "ACCESS_TOKEN":
                return value == self.proof
            case "MQTT_BASIC":
                told = {"clientId": self.name, "userName": self.name, "password": self.proof}
                return isinstance(value, dict) and {k: value.get(k) for k in told} == told
            case _:
                # ThingsBoard keeps the certificate without its first and last line and without line breaks.
                return isinstance(value, str) and _body(value) == _body(self.proof)

    def settings(self, endpoint: Endpoint, request: ProvisionRequest) -> dict[str, Any]:
        """The `mqtt` part of thermal_config.json."""
        login = self.login
        part: dict[str, Any] = {
            "server": str(endpoint),
            "credentials_type": self.type,
            "client_id": login.client_id,
            "username": login.username,
            "password": login.password,
            **request.files,
        }
        if request.allow_plaintext:
            part["allow_plaintext"] = True
        return {key: value for key, value in part.items() if value is not None}


def foreseen(request: ProvisionRequest) -> dict[str, Any]:
    """The `mqtt` part that provisioning is going to write, with something as long as any proof in its place."""
    return Credentials(request.credentials_type, request.name, "-" * 64).settings(request.device_server, request)


def _body(pem: str) -> str:
    return re.sub(r"-----(BEGIN|END) CERTIFICATE-----|\s", "", pem)
