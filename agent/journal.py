"""The journal of an unfinished provisioning: name and token, on the disk before the server hears of them.

With it a provisioning that was killed, or whose answer was lost, finds its device again instead of making a second.
What it was about is remembered when it is finished, or when another server is asked, so that whoever comes back to a
server finds the device of before there.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from agent import durable, errors, identity, status, strictjson
from agent.credentials import Credentials
from agent.request import ProvisionRequest

FILE = status.JOURNAL
DEVICES = ".provision.devices"
"""Where the newest devices of before are remembered: one for each server, kind of credentials and name asked for."""
KEPT_DEVICES = 10
CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Journal(NamedTuple):
    """`purpose` tells for which server and kind of credentials it was made; `number` how many names were taken.

    `finished`: the device worked with these credentials once, so that who does not know them any more has ended them.
    """

    purpose: str
    serial: str
    number: int
    name: str
    proof: str
    credentials_type: str = "ACCESS_TOKEN"
    finished: bool = False

    def __repr__(self) -> str:
        return f"Journal(serial={self.serial!r}, number={self.number}, name={self.name!r})"

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.credentials_type, self.name, self.proof)


def purpose_of(request: ProvisionRequest) -> str:
    """A hash of all that the chosen name and credentials depend on."""
    # Not the device server: when that was wrong, the device that was made at this server is still the one.
    parts = (str(request.server), request.credentials_type, request.name)
    return hashlib.sha256("\0".join((*parts, _certificate(request))).encode()).hexdigest()[:32]


def begin(request: ProvisionRequest, serial: str | None) -> Journal:
    """A new journal, not yet on the disk."""
    serial = serial or identity.random_serial()
    return Journal(
        purpose=purpose_of(request),
        serial=serial,
        number=0,
        name=identity.complete(request.name, serial, 0),
        proof=_certificate(request) or identity.new_token(),
        credentials_type=request.credentials_type,
    )


def _certificate(request: ProvisionRequest) -> str:
    """The device's certificate as it is sent: nothing else that its file may hold, the private key least of all.

    Empty for other credentials; raises AgentError when it cannot be read any more.
    """
    path = request.device_server.certificate
    if request.credentials_type != "X509_CERTIFICATE" or path is None:
        return ""
    with durable.telling(path, errors.READING):
        found = CERTIFICATE.search(path.read_bytes())
    if found is None:
        raise errors.InputError([f"{path} has no certificate"], 'Give a PEM file that has a "BEGIN CERTIFICATE" line')
    return found[0].decode("ascii", "replace")


def next_name(journal: Journal, request: ProvisionRequest) -> Journal:
    """The journal with another name, because this one is taken."""
    number = journal.number + 1
    return journal._replace(number=number, name=identity.complete(request.name, journal.serial, number))


def is_in(journal: Journal, values: Mapping[str, Any]) -> bool:
    """Whether a configuration has the journaled device and its credentials; a certificate has no secret to compare."""
    mqtt = values.get("mqtt")
    login = journal.credentials.login
    same = isinstance(mqtt, dict) and (mqtt.get("username"), mqtt.get("password")) == (login.username, login.password)
    return same and values.get("device_name") == journal.name


def renewed(journal: Journal) -> Journal:
    """The journal with a new token for the same name, because the device's own was ended."""
    fixed = journal.credentials_type == "X509_CERTIFICATE"
    return journal._replace(proof=journal.proof if fixed else identity.new_token(), finished=False)


def write(folder: Path, journal: Journal) -> None:
    """On the disk when it returns; only the agent's account may read it."""
    durable.place(folder / FILE, json.dumps({"format": 1, **journal._asdict()}).encode(), 0o600)


def read(folder: Path) -> Journal | None:
    """The journal, None when there is none or when it is not one of ours (it is replaced then)."""
    return _journal(_stored(folder / FILE))


def remember(folder: Path, journal: Journal) -> None:
    """On the disk when it returns, before those that were remembered earlier; the oldest of too many is forgotten."""
    before = remembered(folder)
    devices = [journal, *(one for one in before if one.purpose != journal.purpose)][:KEPT_DEVICES]
    if devices == before:
        return
    while len(data := _listed(devices)) > strictjson.LIMIT:
        devices.pop()
    durable.place(folder / DEVICES, data, 0o600)


def remembered(folder: Path) -> list[Journal]:
    """The devices of before, newest first."""
    listed = _stored(folder / DEVICES).get("devices")
    found = [_journal(values) for values in listed if isinstance(values, dict)] if isinstance(listed, list) else []
    return [journal for journal in found if journal is not None]


def _listed(devices: list[Journal]) -> bytes:
    return json.dumps({"devices": [{"format": 1, **journal._asdict()} for journal in devices]}).encode()


def _stored(path: Path) -> dict[str, Any]:
    try:
        return strictjson.parse(durable.read(path, strictjson.LIMIT))
    except (FileNotFoundError, ValueError):
        return {}


def _journal(values: dict[str, Any]) -> Journal | None:
    if values.pop("format", None) != 1:
        return None
    try:
        journal = Journal(**values)
    except TypeError:
        return None
    texts = (journal.purpose, journal.serial, journal.name, journal.proof, journal.credentials_type)
    numbers = isinstance(journal.number, int) and isinstance(journal.finished, bool)
    sound = all(isinstance(t, str) and t for t in texts) and numbers
    return journal if sound else None
