"""The journal of an unfinished provisioning: name and token, on the disk before the server hears of them.

With it a provisioning that was killed, or whose answer was lost, finds its device again instead of making a second.
What it was about is remembered when it is finished, or when another server is asked, so that whoever comes back to a
server finds the device of before there.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from agent import durable, identity, status, strictjson
from agent.credentials import Credentials
from agent.request import ProvisionRequest

FILE = status.JOURNAL
DEVICES = ".provision.devices"
"""Where the newest devices of before are remembered: one for each server, kind of credentials and name asked for."""
KEPT_DEVICES = 10


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
    certificate = request.device_server.certificate
    proof = certificate.read_bytes() if request.credentials_type == "X509_CERTIFICATE" and certificate else b""
    # Not the device server: when that was wrong, the device that was made at this server is still the one.
    parts = (str(request.server), request.credentials_type, request.name)
    return hashlib.sha256("\0".join(parts).encode() + proof).hexdigest()[:32]


def begin(request: ProvisionRequest, serial: str | None) -> Journal:
    """A new journal, not yet on the disk."""
    certificate = request.device_server.certificate
    with_certificate = request.credentials_type == "X509_CERTIFICATE" and certificate
    serial = serial or identity.random_serial()
    return Journal(
        purpose=purpose_of(request),
        serial=serial,
        number=0,
        name=identity.complete(request.name, serial, 0),
        proof=certificate.read_text() if with_certificate and certificate else identity.new_token(),
        credentials_type=request.credentials_type,
    )


def next_name(journal: Journal, request: ProvisionRequest) -> Journal:
    """The journal with another name, because this one is taken."""
    number = journal.number + 1
    return journal._replace(number=number, name=identity.complete(request.name, journal.serial, number))


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
