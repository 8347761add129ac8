"""Identifiers and tokens: request ids that are safe to log, tokens `id.secret` of which only a hash is kept."""

import hashlib
import hmac
import itertools
import re
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
DEVICE_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"
_DEVICE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")
_TOKEN: Final = re.compile(r"([A-Za-z0-9]{12})\.([A-Za-z0-9_-]{20,128})\Z")


_process: Final = secrets.token_hex(8)
_numbers: Final = itertools.count()


def new_request_id() -> str:
    """Unique, not secret: a random number of this process and a count."""
    return f"{_process}{next(_numbers):016x}"


def accepted_request_id(values: list[bytes]) -> str | None:
    """The request id of a header if there is exactly one and it is short and clean, else None."""
    if len(values) != 1:
        return None
    text = values[0].decode("latin-1")
    return text if REQUEST_ID.match(text) else None


def is_device_id(text: str) -> bool:
    return _DEVICE_ID.match(text) is not None


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@lru_cache(2)
def _iso_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def iso(ms: int) -> str:
    """ISO 8601 UTC with milliseconds and Z."""
    seconds, rest = divmod(ms, 1000)
    return f"{_iso_second(seconds)}.{rest:03d}Z"


def digest(secret: str) -> str:
    """SHA-256 of a secret, in hex. Our secrets have 256 random bits, so that no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def last4(identifier: str | None) -> str | None:
    return identifier[-4:] if identifier else None


@dataclass(frozen=True, slots=True)
class Token:
    """`id` is public and found by an index; `secret` is only compared, as a hash."""

    id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        return f"{self.id}.{self.secret}"

    @property
    def hash(self) -> str:
        return digest(self.secret)


def new_token() -> Token:
    alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
    return Token("".join(secrets.choice(alphabet) for _ in range(12)), secrets.token_urlsafe(32))


def parse_token(text: str) -> Token | None:
    """A token of its text, None when it has not the form of one."""
    found = _TOKEN.match(text)
    return Token(found[1], found[2]) if found else None
