"""The runner: follows runs from command to end, takes up after a restart what was not ended."""

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from hub.context import RequestContext, current, record
from hub.errors import Refused
from hub.ids import now_ms
from hub.mqtt import NotConnected
from hub.runs import fcm, output, store
from hub.runs.dispatch import Dispatcher, Revoked
from hub.runs.store import Row
from hub.store import Unavailable
from hub.store.database import Work
from hub.store.grouped import Grouped

if TYPE_CHECKING:
    from hub.service import Hub

log = structlog.get_logger()
MAX_ACTIVE: Final = 5_000
AGAIN_SECONDS: Final = 5.0
ATTEMPT_SECONDS: Final = 1.0
"""So long a device's result waits for the broker, or FCM, to confirm the command that the device answers."""


class Runner:
    def __init__(self, hub: "Hub", sender: fcm.Fcm | None) -> None:
        self._db = hub.db
        self._metrics = hub.metrics
        self._live = hub.live
        self._has_fcm = sender is not None
        self._told: Grouped[Work[Any], Any] = Grouped(hub.db, output.in_turn)
        self._dispatcher = Dispatcher(hub, sender, self._told)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._deadlines: dict[str, asyncio.TimerHandle] = {}
        self._asked: dict[str, RequestContext] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def active(self) -> int:
        return len(self._deadlines)

    async def command(self, wanted: store.Command) -> tuple[Row, bool]:
        """Make a run and set out to send it. Raises Refused."""
        if len(self._deadlines) >= MAX_ACTIVE:
            raise Refused(503, "too_many_runs", "Too many runs are in progress.", {"Retry-After": "10"})
        run, created = await self._db.write(store.create(wanted, fcm=self._has_fcm))
        if created:
            context = current.get()
            if context is not None:
                self._asked[run["request_id"]] = context
            tags = self._tags(run)
            self._metrics.runs.labels(*tags).inc()
            self._metrics.runs_by_device.labels(self._metrics.device(run["device_id"])).inc()
            self._metrics.runner_start.labels(*tags, "started").inc()
            self._changed(run)
            self._follow(run, run["timeout_ms"] / 1000)
        return run, created

    async def dispatched(self, request_id: str, seconds: float) -> None:
        """Return when the command has left or failed, or after so many seconds."""
        task = self._tasks.get(request_id)
        if task is not None:
            await asyncio.wait({task}, timeout=seconds)

    def problem(self, request_id: str) -> str | None:
        """Why the command has not left yet, though it was tried."""
        return self._dispatcher.problem(request_id)

    async def take_up(self) -> None:
        """Follow the runs that an earlier hub did not see the end of."""
        for run in await self._db.read(store.active()):
            left = run["timeout_ms"] - (now_ms() - run["created_at"])
            self._follow(run, min(max(left, 0), run["timeout_ms"]) / 1000)

    async def chunk(self, chunk: output.Chunk, max_bytes: int, *, insist: bool = False) -> bool:
        """Store a piece of output; False when it was there. Raises Refused. `insist`: however long that takes."""
        new: bool
        run, new = await self._told.store(output.add_chunk(chunk, max_bytes), insist=insist)
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

    async def result(self, ending: output.Ending, *, insist: bool = False) -> tuple[Row, bool]:
        """End a run as its device says; (the run, False) when it had ended. Raises Refused.

        A device may answer before it is known here that the command left: the log tells it in the order it happened.
        """
        context = current.get()
        if context is not None:
            context.after = self._asked.get(ending.request_id)
        await self._dispatcher.attempted(ending.request_id, ending.device_id, ATTEMPT_SECONDS)
        run, new = await self._told.store(output.finish(ending), insist=insist)
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
        handle = self._forget(run["request_id"])
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

    def _forget(self, request_id: str) -> asyncio.TimerHandle | None:
        self._asked.pop(request_id, None)
        return self._deadlines.pop(request_id, None)

    def _expire(self, request_id: str) -> None:
        task = asyncio.get_running_loop().create_task(self._end(request_id, "timeout", "no result in time"))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, request_id: str, status: str, error: str) -> None:
        """End a run, behind what its device told before, however long the database is away."""
        run: Row | None
        while True:
            try:
                run = await self._told.store(store.end(request_id, status, error), insist=True)
                break
            except Exception as problem:
                log.error("run.end.fail", request_id=request_id, exc_info=problem)
                await asyncio.sleep(AGAIN_SECONDS)
        if run is None:
            self._forget(request_id)
        else:
            self._ended(run)
            record(f"run.{status}", "warning", request_id=request_id, device_id=run["device_id"], reason=error)

    async def _dispatch(self, request_id: str, deadline: float) -> None:
        if current.get() is None:
            current.set(RequestContext(request_id, answered=True))
        try:
            self._changed(await self._dispatcher.deliver(request_id, deadline))
        except (fcm.FcmError, NotConnected, Revoked) as error:
            await self._end(request_id, "error", f"dispatch failed: {error}")
        except Unavailable as error:  # until its time was over
            log.error("dispatch.unavailable", reason=str(error)[:500])
        except Exception as error:
            log.error("dispatch.error", exc_info=error)
            await self._end(request_id, "error", "dispatch failed; the hub's log says why")


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
