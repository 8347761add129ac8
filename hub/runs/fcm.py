"""Firebase Cloud Messaging, HTTP v1: one message, and what its errors mean."""

import asyncio
import functools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import google.auth.transport.requests
import httpx
import requests
from google.auth.exceptions import GoogleAuthError, TransportError
from google.oauth2 import service_account
from urllib3.exceptions import InvalidHeader
from urllib3.util.retry import Retry

from hub.settings import SettingsError

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
WITHOUT_RETRY_AFTER: Final = 60.0
LONGEST_RETRY_AFTER: Final = 600.0
AUTH_SECONDS: Final = 10.0


class FcmError(Exception):
    """A message that was not taken. `status` is FCM's word for it."""

    def __init__(self, http_code: int | None, status: str) -> None:
        super().__init__(status)
        self.http_code = http_code
        self.status = status


class TokenGone(FcmError):
    """The device's token is good no more: forget it."""


class Retriable(FcmError):
    """Try again, after `after` seconds if FCM said so, else with growing pauses."""

    def __init__(self, http_code: int | None, status: str, after: float | None = None) -> None:
        super().__init__(http_code, status)
        self.after = after


class Paused(Retriable):
    """FCM was not asked: it wanted to be left alone, for `after` seconds from now."""


class Misconfigured(FcmError):
    """Nothing will be taken until a person changes the configuration."""


@dataclass(frozen=True, slots=True)
class Sent:
    http_code: int
    name: str


def retry_after(value: str | None) -> float:
    """Seconds of a Retry-After header; a minute when there is none or it makes no sense."""
    if value is None:
        return WITHOUT_RETRY_AFTER
    try:
        seconds = float(Retry().parse_retry_after(value))
    except (InvalidHeader, ValueError, OverflowError, OSError):
        return WITHOUT_RETRY_AFTER
    return min(max(seconds, 1.0), LONGEST_RETRY_AFTER)


def classify(code: int, headers: Mapping[str, str], body: bytes) -> FcmError:
    """What an answer other than 200 means."""
    error_code, status, fields = _parse(body)
    word = error_code or status or f"HTTP_{code}"
    if error_code == "UNREGISTERED" or (error_code == "INVALID_ARGUMENT" and "message.token" in fields):
        return TokenGone(code, word)
    if error_code in {"SENDER_ID_MISMATCH", "THIRD_PARTY_AUTH_ERROR"} or code in {401, 403}:
        return Misconfigured(code, word)
    if code == 429:
        return Retriable(code, word, retry_after(headers.get("retry-after")))
    if code >= 500:
        given = headers.get("retry-after")
        return Retriable(code, word, retry_after(given) if given else None)
    return FcmError(code, word)


def _parse(body: bytes) -> tuple[str | None, str | None, list[str]]:
    """errorCode, status and the violated fields of an error's body; it may be HTML or anything."""
    try:
        error = json.loads(body)["error"]
        status = error.get("status")
        details = [d for d in error.get("details", []) if isinstance(d, dict)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, None, []
    codes = [d["errorCode"] for d in details if isinstance(d.get("errorCode"), str)]
    violations = [v for d in details for v in (d.get("fieldViolations") or []) if isinstance(v, dict)]
    fields = [str(v.get("field")) for v in violations]
    word = str(status)[:64] if status else None
    return (codes[0][:64] if codes else None), word, fields


def service_account_of(file: Path) -> tuple[Any, str]:
    """The credentials in a service account's JSON, and its project. Raises SettingsError."""
    try:
        info = json.loads(file.read_text("utf-8"))
        return service_account.Credentials.from_service_account_info(info, scopes=[SCOPE]), str(info["project_id"])  # type: ignore[no-untyped-call]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"HUB_FCM_CREDENTIALS_FILE ({file}) is no service account's JSON: {error}") from None


class Fcm:
    """A sender for one Firebase project; its access token is fetched in a thread, once at a time."""

    def __init__(self, credentials_file: Path, url: str, timeout: float) -> None:
        """Raises SettingsError when the file is no service account."""
        self._credentials, project = service_account_of(credentials_file)
        self._url = f"{url.rstrip('/')}/v1/projects/{project}/messages:send"
        self._http = httpx.AsyncClient(timeout=timeout, limits=httpx.Limits(max_connections=20))
        self._refreshing = asyncio.Lock()
        self._session = requests.Session()
        self._not_before = 0.0

    async def close(self) -> None:
        await self._http.aclose()
        self._session.close()

    async def send(self, token: str, data: Mapping[str, str]) -> Sent:
        """Send a data message. Raises FcmError or one of its kinds."""
        pause = self._not_before - time.monotonic()
        if pause > 0:
            raise Paused(None, "PAUSED", pause)
        access = await self._access_token()
        response = await self._post(access, token, data)
        if response.status_code == 401:
            # Many are on their way when a token expires: only the first of them takes it back, not the next one's.
            if self._credentials.token == access:
                self._credentials.token = None
            response = await self._post(await self._access_token(), token, data)
        if response.status_code == 200:
            try:
                return Sent(200, str(response.json().get("name", "")))
            except (ValueError, AttributeError):
                return Sent(200, "")
        error = classify(response.status_code, response.headers, response.content)
        if isinstance(error, Retriable) and error.http_code == 429:
            self._not_before = time.monotonic() + (error.after or 0)
        raise error

    async def _post(self, access: str, token: str, data: Mapping[str, str]) -> httpx.Response:
        message = {"message": {"token": token, "data": dict(data), "android": {"priority": "HIGH"}}}
        try:
            return await self._http.post(self._url, json=message, headers={"Authorization": f"Bearer {access}"})
        except httpx.TimeoutException:
            raise Retriable(None, "TIMEOUT") from None
        except httpx.HTTPError as error:
            raise Retriable(None, type(error).__name__) from None

    async def _access_token(self) -> str:
        async with self._refreshing:
            if not self._credentials.valid:
                try:
                    await asyncio.to_thread(self._refresh)
                except GoogleAuthError as error:
                    if isinstance(error, TransportError) or error.retryable:
                        raise Retriable(None, "OAUTH_UNAVAILABLE") from None
                    raise Misconfigured(None, "OAUTH_REFUSED") from None
            return str(self._credentials.token)

    def _refresh(self) -> None:
        request: Any = google.auth.transport.requests.Request(self._session)
        self._credentials.refresh(functools.partial(request, timeout=AUTH_SECONDS))
