"""`provision.json`: what a device is given to provision itself with."""

import re
from pathlib import Path
from typing import NamedTuple

from agent import durable, strictjson
from agent.errors import InputError
from agent.fields import Fields
from agent.mqtt import Endpoint

FILE = "provision.json"
SUFFIX = "XXXXXX"
TEMPLATE = f"thermal-camera-{SUFFIX}"
CREDENTIAL_TYPES = ("ACCESS_TOKEN", "MQTT_BASIC", "X509_CERTIFICATE")
PLATFORMS = ("studio", "thingsboard")
KNOWN = (
    "server",
    "provision_device_key",
    "provision_device_secret",
    "device_name",
    "credentials_type",
    "device_server",
    "ca_certificate",
    "certificate",
    "private_key",
    "allow_plaintext",
    "platform",
)
ADVICE = f"Correct {FILE} and start the agent again; the configuration was not touched"


class ProvisionRequest(NamedTuple):
    """A valid provision.json. `server` provisions; `device_server` is what the device talks to afterwards."""

    server: Endpoint
    device_server: Endpoint
    key: str
    secret: str
    name: str
    credentials_type: str
    platform: str
    files: dict[str, str]
    allow_plaintext: bool

    def __repr__(self) -> str:
        return f"ProvisionRequest(server='{self.server}', name={self.name!r})"

    @property
    def makes_names(self) -> bool:
        """Whether the agent completes the name, and so may take another one when it is taken."""
        return SUFFIX in self.name


def read_request(folder: Path) -> ProvisionRequest:
    """Read and check provision.json; raises InputError with every fault in it."""
    path = folder / FILE
    try:
        data = durable.read(path, strictjson.LIMIT)
    except FileNotFoundError:
        raise InputError(
            [f"{path} is missing, but provision.txt asks for provisioning"],
            f"Put {FILE} beside provision.txt, or remove provision.txt; the configuration was not touched",
        ) from None
    return parse_request(data, folder)


def open_to_others(folder: Path) -> Path | None:
    """provision.json when others than its owner can read or write it: it holds a secret."""
    path = folder / FILE
    try:
        return path if path.stat().st_mode & 0o077 else None
    except OSError:
        return None


def parse_request(data: bytes, folder: Path) -> ProvisionRequest:
    """Check the bytes of provision.json; raises InputError with every fault in them."""
    try:
        values = strictjson.parse(data)
    except ValueError as error:
        raise InputError([f"{FILE} is not usable: {error}"], ADVICE) from None
    fields = Fields(FILE, values)
    fields.nothing_else(KNOWN)
    plaintext = fields.flag("allow_plaintext")
    server = fields.server("server", required=True)
    device_server = fields.server("device_server", required=False)
    key = fields.text("provision_device_key", '"7b0f1c2d3e4a5b6c7d8e"', required=True)
    secret = fields.text("provision_device_secret", '"9e8d7c6b5a4f3e2d1c0b"', required=True)
    name = fields.text("device_name", f'"{TEMPLATE}"', limit=60)
    if name is not None and not (re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) and name.count(SUFFIX) < 2):
        fields.fault("device_name", f"may have letters, digits, '-', '_', '.' and one {SUFFIX}", f'"{TEMPLATE}"')
    credentials_type = fields.choice("credentials_type", CREDENTIAL_TYPES)
    platform = fields.choice("platform", PLATFORMS)
    with_certificate = credentials_type == "X509_CERTIFICATE"
    device_endpoint = fields.endpoint(device_server or server, folder, with_certificate=with_certificate)
    if fields.problems or server is None or device_endpoint is None or key is None or secret is None:
        raise InputError(fields.problems, ADVICE)
    files: dict[str, str] = {k: values[k] for k in ("ca_certificate", "certificate", "private_key") if k in values}
    return ProvisionRequest(
        server=Endpoint(*server, device_endpoint.ca_certificate),
        device_server=device_endpoint,
        key=key,
        secret=secret,
        name=name or TEMPLATE,
        credentials_type=credentials_type,
        platform=platform,
        files=files,
        allow_plaintext=plaintext,
    )
