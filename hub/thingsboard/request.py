"""A provisioning request, strictly read: every mistake has its own clear answer."""

import json
import secrets
import string
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from hub.ids import is_device_id

MAX_BYTES: Final = 65_536
MAX_TEXT: Final = 256
Type = Literal["ACCESS_TOKEN", "MQTT_BASIC", "X509_CERTIFICATE"]
TYPES: Final = ("ACCESS_TOKEN", "MQTT_BASIC", "X509_CERTIFICATE")
_ALPHABET: Final = string.ascii_letters + string.digits
_KNOWN: Final = (
    "provisionDeviceKey",
    "provisionDeviceSecret",
    "deviceName",
    "token",
    "clientId",
    "username",
    "password",
    "hash",
)


class BadRequest(Exception):
    """What is wrong with a request, in words that may be answered: they hold no secret."""


@dataclass(frozen=True, slots=True)
class Wanted:
    key: str
    secret: str = field(repr=False)
    name: str
    type: Type
    login: str = field(repr=False)
    """The user name at the broker; for X.509 the fingerprint of the certificate."""
    proof: str = field(repr=False)
    """The password, the token again, or the certificate's body."""
    client_id: str | None
    chosen: bool
    """The device chose what proves it, so that it can ask again when the answer was lost."""

    @property
    def value(self) -> Any:
        """`credentialsValue` of the answer."""
        if self.type == "MQTT_BASIC":
            return {"clientId": self.client_id, "userName": self.login, "password": self.proof}
        return self.proof


def random_text(length: int = 20) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def read(payload: bytes) -> Wanted:
    """Raises BadRequest."""
    fields = _fields(payload)
    texts = {name: _text(fields, name) for name in _KNOWN}
    for name in ("provisionDeviceKey", "provisionDeviceSecret"):
        if not texts[name]:
            raise BadRequest(f"{name} is missing")
    kind = fields.get("credentialsType", "ACCESS_TOKEN")
    if kind not in TYPES:
        raise BadRequest(f"credentialsType must be one of {', '.join(TYPES)}")
    if not isinstance(fields.get("gateway", False), bool):
        raise BadRequest("gateway must be true or false")
    login, proof, chosen = _credentials(kind, texts)
    return Wanted(
        key=texts["provisionDeviceKey"] or "",
        secret=texts["provisionDeviceSecret"] or "",
        name=_name(texts["deviceName"]),
        type=kind,
        login=login,
        proof=proof,
        client_id=texts["clientId"],
        chosen=chosen,
    )


def _fields(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_BYTES:
        raise BadRequest(f"the request has more than {MAX_BYTES} bytes")
    try:
        content = json.loads(payload.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadRequest("the request is not JSON") from None
    if not isinstance(content, dict):
        raise BadRequest("the request is not a JSON object")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadRequest("a field is there twice")
    return found


def _no_constant(_: str) -> Any:
    raise BadRequest("NaN and Infinity are not JSON")


def _text(fields: dict[str, Any], name: str) -> str | None:
    if name not in fields:
        return None
    value = fields[name]
    if not isinstance(value, str):
        raise BadRequest(f"{name} must be text")
    if name == "hash":
        return value
    if len(value) > MAX_TEXT or not value.isprintable():
        raise BadRequest(f"{name} must be at most {MAX_TEXT} printable characters")
    return value


def _name(given: str | None) -> str:
    if given is None:
        return random_text()
    name = given.strip()
    if not is_device_id(name):
        raise BadRequest("deviceName must be 1 to 64 letters, digits and . _ : -, beginning with a letter or digit")
    return name


def _credentials(kind: str, texts: dict[str, str | None]) -> tuple[str, str, bool]:
    if kind == "ACCESS_TOKEN":
        token = texts["token"]
        if token is not None and (not 8 <= len(token) <= 128 or not _plain(token)):
            raise BadRequest("token must be 8 to 128 letters, digits and . _ -")
        return (token, token, True) if token is not None else _made(random_text())
    if kind == "MQTT_BASIC":
        username = texts["username"] or texts["clientId"]
        if not username:
            raise BadRequest("MQTT_BASIC needs clientId or username")
        if not _plain(username):
            raise BadRequest("username (or clientId) must be letters, digits and . _ -")
        password = texts["password"]
        if password == "":
            raise BadRequest("password must not be empty")
        return username, password or random_text(32), password is not None
    return (*_certificate(texts["hash"]), True)


def _made(token: str) -> tuple[str, str, bool]:
    return token, token, False


def _plain(text: str) -> bool:
    return all(c.isascii() and (c.isalnum() or c in "._-") for c in text)


def _certificate(text: str | None) -> tuple[str, str]:
    """The fingerprint and the body (one line) of a PEM certificate."""
    if not text:
        raise BadRequest("X509_CERTIFICATE needs hash: the certificate as PEM")
    pem = text if "-----BEGIN" in text else f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"
    try:
        found = x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise BadRequest("hash is no PEM certificate") from None
    lines = found.public_bytes(serialization.Encoding.PEM).decode().strip().splitlines()
    return found.fingerprint(hashes.SHA256()).hex(), "".join(lines[1:-1])
