"""What every part of the studio model shares: strictness, and the types of names, labels, secrets and addresses."""

import ipaddress
import re
import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SLUG: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
CONTROL_CATEGORIES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


TURNS_TEXT_ROUND: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Controls of the writing direction: they make a table or an alert read as something else."""


class Part(BaseModel):
    """A part of the model: unknown keys are errors, values never change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False, allow_inf_nan=False)


def _slug(value: str) -> str:
    if not SLUG.fullmatch(value):
        raise ValueError("use lower-case letters, digits and single hyphens, a letter first, as in 'glory-hole'")
    return value


def _label(value: str) -> str:
    if any(unicodedata.category(c) in CONTROL_CATEGORIES or c in TURNS_TEXT_ROUND for c in value):
        raise ValueError("take the line breaks and control characters out of it")
    if value != value.strip():
        raise ValueError("take the blanks at its ends away")
    return value


def _secret_name(value: str) -> str:
    if not SLUG.fullmatch(value):
        raise ValueError("give the name of a secret here, as in 'irm-shop-url', never its value")
    return value


def _network(value: str) -> str:
    try:
        network = ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"{error}; give a network as in '192.168.1.0/24'") from None
    if "/" not in value:
        raise ValueError(f"without a prefix it is a single address; give a network as in '{value}/24'")
    if network.prefixlen == 0:
        raise ValueError("that is everybody; give the studio's own network as in '192.168.1.0/24'")
    return str(network)


def _https_url(value: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?(/[A-Za-z0-9._~!$&()*+,;=:@%/\-]*)?", value):
        raise ValueError(
            "give a URL as in 'https://example.grafana.net/api/prom/push', without user, password or query"
        )
    return value


Slug = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_slug)]
Label = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_label)]
SecretName = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_secret_name)]
Network = Annotated[str, AfterValidator(_network)]
Url = Annotated[str, Field(max_length=500), AfterValidator(_https_url)]
Port = Annotated[int, Field(ge=1, le=65535)]
OwnPort = Annotated[int, Field(ge=1024, le=65535)]
"""A port that an account without rights of root may listen on."""
