"""Sending a command to its device, by FCM or MQTT, again and again until it left or its time is over."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import orjson
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_delay,
    wait_random,
    wait_random_exponential,
)

from hub import registry
from hub.context import current, record
from hub.mqtt import NotConnected
from hub.runs import fcm, store
from hub.runs.store import Row
from hub.store import Unavailable
from hub.store.database import Work
from hub.store.grouped import Grouped

if TYPE_CHECKING:
    from hub.service import Hub

AT_ONCE: Final = 50
LONGEST_PAUSE: Final = 60.0
SPREAD: Final = 0.25


class Revoked(Exception):
    """The device gets no commands any more."""


def spread(after: float, state: RetryCallState) -> float:
    """Seconds until the next attempt, `after` at least: many were told the same, and must not come at once."""
    return wait_random(after, after * (1 + SPREAD))(state)


class Dispatcher:
    """`sender` None: FCM is not set up. `told` stores what is told of runs, in its order."""

    def __init__(self, hub: "Hub", sender: fcm.Fcm | None, told: "Grouped[Work[Any], Any]") -> None:
        self._db = hub.db
        self._told = told
        self._metrics = hub.metrics
        self._mqtt = hub.mqtt
        self._fcm = sender
        self._exponential = wait_random_exponential(multiplier=hub.settings.fcm_backoff, max=LONGEST_PAUSE)
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._attempts: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._failing: dict[str, str] = {}
        """By request id, why the last attempt failed."""

    async def deliver(self, request_id: str, deadline: float) -> Row:
        """Send a run's command; the run as it is then. `deadline` is of time.monotonic().

        Raises FcmError, NotConnected or Unavailable when it did not leave, and Revoked.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((fcm.Retriable, NotConnected, Unavailable)),
            wait=self._pause,
            stop=stop_after_delay(max(0.0, deadline - time.monotonic())),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    run = await self._attempt(await self._target(request_id))
        finally:
            self._failing.pop(request_id, None)
        return run

    async def attempted(self, request_id: str, device_id: str, seconds: float) -> None:
        """Return when no attempt to send the device this command is in progress, or after so many seconds."""
        attempt = self._attempts.get((request_id, device_id))
        if attempt is not None:
            await asyncio.wait({attempt}, timeout=seconds)

    def problem(self, request_id: str) -> str | None:
        """Why a command that is still to be sent has not left yet."""
        return self._failing.get(request_id)

    @contextlib.contextmanager
    def _in_progress(self, run: Row) -> Iterator[None]:
        key, over = (run["request_id"], run["device_id"]), asyncio.get_running_loop().create_future()
        self._attempts[key] = over
        try:
            yield
        finally:
            del self._attempts[key]
            over.set_result(None)

    async def _target(self, request_id: str) -> Row:
        async with self._at_once:
            run = await self._db.read(store.target(request_id))
        context = current.get()
        if context is not None:
            context.device_id, context.alias = run["device_id"], run["alias"]
        if run["revoked_at"] is not None:
            raise Revoked("the device is revoked")
        return run

    async def _attempt(self, run: Row) -> Row:
        send = self._send_fcm if run["protocol"] == "fcm" else self._send_mqtt
        about = {"request_id": run["request_id"], "device_id": run["device_id"], "action": run["action"]}
        with self._in_progress(run):
            return await self._send(send, run, about)

    async def _send(self, send: Callable[[Row], Any], run: Row, about: Row) -> Row:
        began = time.perf_counter()
        answer: Row = {"fcm_http_code": None, "fcm_status": None}
        failure: Exception | None = None
        async with self._at_once:
            try:
                answer |= await send(run)
            except fcm.FcmError as error:
                failure = error
                answer = {"fcm_http_code": error.http_code, "fcm_status": error.status}
            except NotConnected as error:
                failure = error
        latency = (time.perf_counter() - began) * 1000
        asked = not isinstance(failure, fcm.Paused)
        answer["dispatch_latency_ms"] = round(latency, 3) if asked else None
        if asked and run["protocol"] == "fcm":
            self._metrics.fcm_latency.labels(self._metrics.action(run["action"])).observe(latency)
        if failure is None:
            left: Row = await self._told.store(store.sent(run["request_id"]), insist=True)
            record("dispatch.sent", **about, **answer, protocol=run["protocol"])
            return left
        self._failing[run["request_id"]] = str(failure)
        level = "error" if isinstance(failure, fcm.Misconfigured) else "warning"
        record("dispatch.fail", level, **about, **answer, protocol=run["protocol"], reason=str(failure)[:200])
        if isinstance(failure, fcm.TokenGone):
            await self._told.store(registry.forget_fcm_token(run["device_id"], run["fcm_token"]), insist=True)
        raise failure

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        after = error.after if isinstance(error, fcm.Retriable) else None
        return spread(after, state) if after is not None else self._exponential(state)

    async def _send_fcm(self, run: Row) -> Row:
        if self._fcm is None:
            raise fcm.Misconfigured(None, "NOT_CONFIGURED")
        if not run["fcm_token"]:
            raise fcm.FcmError(None, "NO_TOKEN")
        data = {"request_id": run["request_id"], "action": run["action"], "params": run["params"]}
        answer = await self._fcm.send(run["fcm_token"], data)
        return {"fcm_http_code": answer.http_code, "fcm_status": "OK"}

    async def _send_mqtt(self, run: Row) -> Row:
        topic = f"{run['kind']}/{run['device_id']}/cmd/{run['action']}"
        params = orjson.loads(run["params"])
        payload = {"request_id": run["request_id"], "action": run["action"], "params": params}
        await self._mqtt.publish(topic, orjson.dumps(payload))
        return {}
