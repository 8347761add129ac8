"""What single settings must be like. Each check raises ValueError that says so."""

from typing import Final
from urllib.parse import parse_qsl, urlsplit

MIN_TOKEN: Final = 16
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
POSTGRES: Final = (
    *("host", "port", "dbname", "user", "password", "passfile", "application_name", "options", "target_session_attrs"),
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslnegotiation"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version"),
)
"""What asyncpg knows of the words that libpq has for a URL's query."""


def broker_url(value: str) -> str:
    """mqtt or mqtts, or blank."""
    return _url(value, "mqtt", "mqtt://user@host:1883 or mqtts://user@host:8883")


def http_url(value: str) -> str:
    """http or https, or blank."""
    return _url(value, "http", "http://host:8428 or https://host")


def _url(value: str, scheme: str, like: str) -> str:
    """With a host, and a port if any that there is; the scheme's name may have an s behind."""
    try:
        parts = urlsplit(value)
        good = not value or (parts.scheme in {scheme, f"{scheme}s"} and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"must look like {like}")
    return value


def database_url(value: str) -> str:
    """A file for SQLite (every connection to one in memory is another database), or PostgreSQL."""
    if not value.startswith(("sqlite:///", "postgresql://")):
        raise ValueError("must begin with sqlite:/// (a file) or postgresql://")
    file = value.removeprefix("sqlite:///")
    if file in {"", ":memory:"} or (file != value and "?" in file):
        raise ValueError("must name a file, as sqlite:///data/hub.db does, and nothing else")
    if file == value:
        _postgres(value)
    return value


def _postgres(value: str) -> None:
    """A URL as libpq takes it, for one server."""
    try:
        parts = urlsplit(value)
        _ = parts.port
        good = parts.netloc.count("@") < 2 and not parts.fragment
        query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        good = False
    if not good:
        told = "signs other than letters and digits in a user or password are written as % and two hex digits"
        raise ValueError(f"must look like postgresql://user:password@host:5432/name?sslmode=require; {told}")
    unknown = sorted(query.keys() - set(POSTGRES))
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: not known here behind the ?; known are {', '.join(POSTGRES)}")
    if query.get("sslmode", "prefer") not in SSL_MODES:
        raise ValueError(f"sslmode must be one of {', '.join(SSL_MODES)}")


def token(name: str, value: str) -> None:
    """Long enough, and what a header can say."""
    if len(value) < MIN_TOKEN:
        raise ValueError(f"{name} must have at least {MIN_TOKEN} characters; make one with: openssl rand -hex 32")
    if value != value.strip() or not (value.isascii() and value.isprintable()):
        raise ValueError(f"{name} must be of ASCII letters, digits and signs, without blanks around it")
