"""The runner: sends commands, follows runs to their end, takes up after a restart what was not ended."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_random_exponential

from hub.context import RequestContext, current, record
from hub.errors import Refused
from hub.ids import now_ms
from hub.mqtt import NotConnected
from hub.runs import fcm, store
from hub.runs.store import Row

if TYPE_CHECKING:
    from hub.service import Hub

log = structlog.get_logger()
MAX_ACTIVE: Final = 5_000
AT_ONCE: Final = 50
LONGEST_PAUSE: Final = 60.0


class Runner:
    def __init__(self, hub: "Hub", sender: fcm.Fcm | None) -> None:
        self._db = hub.db
        self._metrics = hub.metrics
        self._mqtt = hub.mqtt
        self._live = hub.live
        self._fcm = sender
        self._exponential = wait_random_exponential(multiplier=hub.settings.fcm_backoff, max=LONGEST_PAUSE)
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._deadlines: dict[str, asyncio.TimerHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def active(self) -> int:
        return len(self._deadlines)

    async def command(self, wanted: store.Command) -> tuple[Row, bool]:
        """Make a run and set out to send it. Raises Refused."""
        if len(self._deadlines) >= MAX_ACTIVE:
            raise Refused(503, "too_many_runs", "Too many runs are in progress.", {"Retry-After": "10"})
        if wanted.protocol == "fcm" and self._fcm is None:
            raise Refused(409, "no_fcm", "FCM is not set up (HUB_FCM_CREDENTIALS_FILE); use protocol mqtt.")
        run, created = await self._db.write(store.create(wanted))
        if created:
            tags = self._tags(run)
            self._metrics.runs.labels(*tags).inc()
            self._metrics.runner_start.labels(*tags, "started").inc()
            self._changed(run)
            self._follow(run, run["timeout_ms"] / 1000)
        return run, created

    async def dispatched(self, request_id: str, seconds: float) -> None:
        """Return when the command has left or failed, or after so many seconds."""
        task = self._tasks.get(request_id)
        if task is not None:
            await asyncio.wait({task}, timeout=seconds)

    async def take_up(self) -> None:
        """Follow the runs that an earlier hub did not see the end of."""
        for run in await self._db.read(store.active()):
            left = run["timeout_ms"] - (now_ms() - run["created_at"])
            self._follow(run, min(max(left, 0), run["timeout_ms"]) / 1000)

    async def chunk(self, chunk: store.Chunk, max_bytes: int) -> bool:
        """Store a piece of output; False when it was there. Raises Refused."""
        run, new = await self._db.write(store.add_chunk(chunk, max_bytes))
        if new:
            tags = self._tags(run)
            self._metrics.chunks.labels(*tags).inc()
            self._metrics.chunk_bytes.labels(*tags).inc(len(chunk.data))
            text = chunk.data.decode("utf-8", "replace")
            about = {"request_id": chunk.request_id, "seq": chunk.seq, "stream": chunk.stream, "text": text}
            self._live.publish("chunk", about)
            if run["chunks"] == 1:
                self._changed(run)
        return new

    async def result(self, ending: store.Ending) -> tuple[Row, bool]:
        """End a run as its device says; (the run, False) when it had ended. Raises Refused."""
        run, new = await self._db.write(store.finish(ending))
        if new:
            self._ended(run)
        return run, new

    async def close(self) -> None:
        """Stop following; what has not ended is taken up by the next hub."""
        for handle in self._deadlines.values():
            handle.cancel()
        tasks = [*self._tasks.values(), *self._ending]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tags(self, run: Row) -> tuple[str, str]:
        return self._metrics.site(run["site"]), run["protocol"]

    def _changed(self, run: Row) -> None:
        self._live.publish("run", {key: run[key] for key in SHOWN})

    def _follow(self, run: Row, seconds: float) -> None:
        request_id = run["request_id"]
        loop = asyncio.get_running_loop()
        self._deadlines[request_id] = loop.call_later(seconds, self._expire, request_id)
        if run["status"] == "queued":
            task = loop.create_task(self._dispatch(request_id, time.monotonic() + seconds))
            self._tasks[request_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(request_id, None))

    def _ended(self, run: Row) -> None:
        handle = self._deadlines.pop(run["request_id"], None)
        if handle is not None:
            handle.cancel()
        task = self._tasks.get(run["request_id"])
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        tags = (*self._tags(run), run["status"])
        (self._metrics.runner_stop if run["status"] == "ok" else self._metrics.runner_error).labels(*tags).inc()
        self._metrics.runner_duration.labels(*tags).observe(max(0, run["ended_at"] - run["created_at"]) / 1000)
        self._metrics.runner_bytes.labels(*tags).set(run["bytes"])
        self._metrics.run_bytes.labels(*self._tags(run)).observe(run["bytes"])
        self._changed(run)

    def _expire(self, request_id: str) -> None:
        task = asyncio.get_running_loop().create_task(self._end(request_id, "timeout", "no result in time"))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, request_id: str, status: str, error: str) -> None:
        run = None
        try:
            run = await self._db.write(store.end(request_id, status, error))
        except Exception as problem:
            log.error("run.end.fail", request_id=request_id, exc_info=problem)
            loop = asyncio.get_running_loop()
            self._deadlines[request_id] = loop.call_later(5, self._expire, request_id)
            return
        if run is None:
            self._deadlines.pop(request_id, None)
        else:
            self._ended(run)
            record(f"run.{status}", "warning", request_id=request_id, device_id=run["device_id"], reason=error)

    async def _dispatch(self, request_id: str, deadline: float) -> None:
        context = RequestContext(request_id, answered=True)
        current.set(context)
        async with self._at_once:
            run = await self._db.read(store.target(request_id))
        context.device_id, context.alias = run["device_id"], run["alias"]
        send = self._send_fcm if run["protocol"] == "fcm" else self._send_mqtt
        about = {"request_id": request_id, "device_id": run["device_id"], "action": run["action"]}
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((fcm.Retriable, NotConnected)),
            wait=self._pause,
            stop=stop_after_delay(max(0.0, deadline - time.monotonic())),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    await self._attempt(send, run, about)
        except (fcm.FcmError, NotConnected) as error:
            await self._end(request_id, "error", f"dispatch failed: {error}")
        except Exception as error:
            log.error("dispatch.error", exc_info=error)
            await self._end(request_id, "error", "dispatch failed; the hub's log says why")

    async def _attempt(self, send: Callable[[Row], Any], run: Row, about: Row) -> None:
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
        answer["dispatch_latency_ms"] = round(latency, 3)
        if run["protocol"] == "fcm":
            self._metrics.fcm_latency.labels(self._metrics.action(run["action"])).observe(latency)
        if failure is None:
            with suppress(Refused):
                await self._db.write(store.sent(run["request_id"]))
                self._changed(await self._db.read(lambda conn: store.get(conn, run["request_id"])))
            record("dispatch.sent", **about, **answer, protocol=run["protocol"])
            return
        level = "error" if isinstance(failure, fcm.Misconfigured) else "warning"
        record("dispatch.fail", level, **about, **answer, protocol=run["protocol"], reason=str(failure)[:200])
        if isinstance(failure, fcm.TokenGone):
            await self._db.write(store.forget_fcm_token(run["device_id"], run["fcm_token"]))
        raise failure

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        after = error.after if isinstance(error, fcm.Retriable) else None
        return after if after is not None else self._exponential(state)

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


SHOWN: Final = (
    "request_id",
    "device_id",
    "site",
    "action",
    "protocol",
    "status",
    "error",
    "bytes",
    "chunks",
    "created_at",
    "sent_at",
    "ended_at",
)
