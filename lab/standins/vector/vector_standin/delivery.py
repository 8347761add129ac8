"""Sending a request until it is taken: Vector's retries, with its Fibonacci back-off."""

import http.client
import random
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from vector_standin.log import log
from vector_standin.telemetry import Component

RETRIED = frozenset({408, 429})
NOT_IMPLEMENTED = 501


class Backoff:
    """Waits between retries, in seconds: Fibonacci up to the longest, with full jitter or none."""

    def __init__(self, first: float, longest: float, jitter: str) -> None:
        self._previous, self._current, self._longest, self._jitter = 0.0, first, longest, jitter

    def next(self) -> float:
        # As Vector does: the sum is taken before the first wait, too.
        following = min(self._previous + self._current, self._longest)
        self._previous, self._current = self._current, following
        return following if self._jitter == "None" else random.uniform(0.001, following)  # noqa: S311 - not a secret


class Delivery:
    """Posts bodies to one URL over one kept connection."""

    def __init__(self, url: str, request: dict[str, Any], component: Component, stop: threading.Event) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._target = f"{parts.path}?{parts.query}"
        self._request, self._component, self._stop = request, component, stop
        self._connection: http.client.HTTPConnection | None = None

    def send(self, body: bytes) -> bool | None:
        """True when it was taken, False when it was refused for good, None when stopped before either."""
        request = self._request
        backoff = Backoff(
            request["retry_initial_backoff_secs"], request["retry_max_duration_secs"], request["retry_jitter_mode"]
        )
        for _ in range(request["retry_attempts"] + 1):
            status, why = self._post(body)
            if status is not None and 200 <= status < 300:
                return True
            retry = status is None or status in RETRIED or (status >= 500 and status != NOT_IMPLEMENTED)
            if not retry:
                log("ERROR", "Not retriable; dropping the request.", self._component, reason=why)
                return False
            wait = backoff.next()
            log("WARN", "Retrying after error.", self._component, error=why, delay_seconds=round(wait, 3))
            if self._stop.wait(wait):
                return None
        log("ERROR", "Retries exhausted; dropping the request.", self._component)
        return False

    def _post(self, body: bytes) -> tuple[int | None, str]:
        began = time.monotonic()
        self._component.add("http_client_requests_sent_total", method="POST")
        try:
            if self._connection is None:
                timeout = self._request["timeout_secs"]
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
            headers = {"Content-Type": "text/plain", "Authorization": "Token "}
            self._connection.request("POST", self._target, body, headers)
            response = self._connection.getresponse()
            said = response.read(300).decode(errors="replace")
            response.read()
        except (OSError, http.client.HTTPException) as error:
            self._close()
            self._component.add("http_client_errors_total", error_kind=type(error).__name__)
            self._took("error", time.monotonic() - began, error_kind=type(error).__name__)
            return None, str(error) or type(error).__name__
        self._component.add("http_client_responses_total", status=str(response.status))
        self._took("response", time.monotonic() - began, status=str(response.status))
        if response.status in {200, 204}:
            self._component.add("component_sent_bytes_total", len(body), protocol="http", endpoint=self._host)
        return response.status, f"{response.status} {response.reason}: {said}".strip()

    def _took(self, how: str, seconds: float, **labels: str) -> None:
        self._component.observe("http_client_rtt_seconds", seconds)
        self._component.observe(f"http_client_{how}_rtt_seconds", seconds, **labels)

    def _close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def ping(self, url: str) -> str | None:
        """What is wrong with a URL that must answer 200 or 204, or None."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(self._host, self._port, timeout=10)
        try:
            connection.request("GET", parts.path)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return str(error)
        finally:
            connection.close()
        return None if status in (200, 204) else f"Unexpected status: {status}"
