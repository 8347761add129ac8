"""Who is asking: the admin (token or session cookie), or somebody with an enrolment token."""

import hashlib
import hmac
import time
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from hub.context import record
from hub.enrol import TokenRefused
from hub.errors import Refused
from hub.ids import Token, last4, parse_token, same
from hub.service import HubDep

COOKIE: Final = "hub_session"
SESSION_SECONDS: Final = 12 * 3600
_header = APIKeyHeader(name="Authorization", auto_error=False, description="`Bearer <token>` or a device's signature")
Authorization = Annotated[str | None, Security(_header)]


def bearer(header: str | None) -> str | None:
    scheme, _, value = (header or "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value else None


def address(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else "-"


def session_cookie(admin_token: str, now: float) -> str:
    """A session: when it ends, and a signature with a key made of the admin token."""
    until = str(int(now) + SESSION_SECONDS)
    return f"{until}.{_session_signature(admin_token, until)}"


def _session_signature(admin_token: str, until: str) -> str:
    key = hashlib.sha256(b"hub session:" + admin_token.encode()).digest()
    return hmac.new(key, until.encode(), "sha256").hexdigest()


def session_is_good(admin_token: str, cookie: str | None, now: float) -> bool:
    until, _, signature = (cookie or "").partition(".")
    if not (until.isascii() and until.isdigit() and len(until) < 12):
        return False
    return same(signature, _session_signature(admin_token, until)) and now < int(until)


def session_end(request: Request) -> float | None:
    """When the session ends (epoch s) of a request that was let in; None: it came with the token itself."""
    if bearer(request.headers.get("authorization")) is not None:
        return None
    return float(request.cookies[COOKIE].partition(".")[0])


def cross_site(request: Request) -> bool:
    """Whether a browser says that another site made it send this."""
    return request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}


def is_admin(hub: HubDep, request: Request) -> bool:
    secret = hub.settings.admin_token.get_secret_value()
    given = bearer(request.headers.get("authorization"))
    if given is not None:
        return same(given, secret)
    if not session_is_good(secret, request.cookies.get(COOKIE), time.time()):
        return False
    return request.method in {"GET", "HEAD"} or not cross_site(request)


async def admin(hub: HubDep, request: Request, _: Authorization = None) -> None:
    """Only the admin. Raises Refused (401)."""
    if not is_admin(hub, request):
        raise refuse_admin(hub, request)


async def metrics_reader(hub: HubDep, request: Request, _: Authorization = None) -> None:
    """Who scrapes: the metrics token, which is good for nothing else, or the admin. Raises Refused (401)."""
    own = hub.settings.metrics_token.get_secret_value()
    given = bearer(request.headers.get("authorization"))
    if not (own and given is not None and same(given, own)):
        await admin(hub, request)


def refuse_admin(hub: HubDep, request: Request) -> Refused:
    """The refusal of who is not the admin, counted and logged. Raises Refused (429) when there were too many.

    The right token is looked at first and always let in: nobody can shut the admin out by guessing.
    """
    record("sec.admin.denied", "warning", reason="no valid admin token or session", token_id=None)
    hub.limit("login", address(request))
    return Refused(401, "admin_only", "This needs the admin token (Authorization: Bearer ...) or a session.")


def enrolment_token(request: Request) -> Token | None:
    return parse_token(bearer(request.headers.get("authorization")) or "")


def token_denied(error: TokenRefused) -> None:
    """Log that an enrolment token was not taken."""
    event = "sec.token.expired" if error.reason == "expired" else "sec.token.denied"
    record(event, "warning", reason=error.reason, token_id=last4(error.token_id))


AdminOnly = Depends(admin)
MetricsReader = Depends(metrics_reader)
