"""What single settings must be like. Each check raises ValueError that says so."""

from typing import Final
from urllib.parse import urlsplit

MIN_TOKEN: Final = 16


def broker_url(value: str) -> str:
    """mqtt or mqtts, with a host, and a port if any that there is; or blank."""
    try:
        parts = urlsplit(value)
        good = not value or (parts.scheme in {"mqtt", "mqtts"} and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        good = False
    if not good:
        raise ValueError("must look like mqtt://user@host:1883 or mqtts://user@host:8883")
    return value


def database_url(value: str) -> str:
    """A file for SQLite (every connection to one in memory is another database), or PostgreSQL."""
    if not value.startswith(("sqlite:///", "postgresql://")):
        raise ValueError("must begin with sqlite:/// (a file) or postgresql://")
    file = value.removeprefix("sqlite:///")
    if file in {"", ":memory:"} or (file != value and "?" in file):
        raise ValueError("must name a file, as sqlite:///data/hub.db does, and nothing else")
    return value


def token(name: str, value: str) -> None:
    """Long enough, and what a header can say."""
    if len(value) < MIN_TOKEN:
        raise ValueError(f"{name} must have at least {MIN_TOKEN} characters; make one with: openssl rand -hex 32")
    if value != value.strip() or not (value.isascii() and value.isprintable()):
        raise ValueError(f"{name} must be of ASCII letters, digits and signs, without blanks around it")
