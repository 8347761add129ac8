"""The part of the hub that runs commands; devices also answer by MQTT."""

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub.api.types import Params
from hub.context import RequestContext, current, flush, record
from hub.errors import Refused
from hub.ids import REQUEST_ID
from hub.mqtt import Refusal
from hub.runs.fcm import Fcm
from hub.runs.output import Chunk, Ending
from hub.runs.runner import Runner
from hub.service import Hub

CHUNK_CHARS = 32_768
Seq = Annotated[int, Field(ge=0, le=1_000_000)]


class ChunkBody(BaseModel):
    """A piece of a run's output, numbered from 0; the same number is stored once."""

    model_config = ConfigDict(extra="forbid")
    seq: Seq
    data: str = Field(max_length=CHUNK_CHARS)
    stream: Literal["stdout", "stderr"] = "stdout"


class Outcome(BaseModel):
    """How a run ended."""

    model_config = ConfigDict(extra="forbid")
    outcome: Literal["ok", "error"]
    message: str | None = Field(None, max_length=256, pattern=r"^[^\x00]*$")
    data: Params | None = None


def told(run: dict[str, Any], outcome: str) -> None:
    """Log that a device told how a run ended."""
    about = {"request_id": run["request_id"], "device_id": run["device_id"], "action": run["action"]}
    record("action_result.ingest", **about, outcome=outcome)


@contextlib.asynccontextmanager
async def runs(hub: Hub) -> AsyncIterator[None]:
    chosen = hub.settings
    sender = None
    if chosen.fcm_credentials_file is not None:
        sender = Fcm(chosen.fcm_credentials_file, chosen.fcm_url, chosen.fcm_timeout)
    runner = Runner(hub, sender)
    hub.runner = runner
    hub.metrics.watch("hub_runs_active", "Runs in progress", lambda: runner.active)
    hub.mqtt.on("+/+/run/+/chunk", _by_mqtt(hub, _chunk))
    hub.mqtt.on("+/+/run/+/result", _by_mqtt(hub, _result))
    await runner.take_up()
    try:
        yield
    finally:
        await runner.close()
        if sender is not None:
            await sender.close()


def _by_mqtt(hub: Hub, take: Any) -> Any:
    async def handler(topic: str, payload: bytes, retained: bool) -> None:
        _, device_id, _, request_id, _ = topic.split("/")
        if retained:
            raise Refusal("retained")
        if not REQUEST_ID.match(request_id):
            raise Refusal("request id")
        try:
            await take(hub, device_id, request_id, payload)
        except ValidationError:
            raise Refusal("not a chunk or result") from None
        except Refused as error:
            raise Refusal(error.code) from None

    return handler


async def _chunk(hub: Hub, device_id: str, request_id: str, payload: bytes) -> None:
    body = ChunkBody.model_validate_json(payload)
    chunk = Chunk(request_id, device_id, body.seq, body.stream, body.data.encode())
    await hub.runner.chunk(chunk, hub.settings.run_max_bytes, insist=True)


async def _result(hub: Hub, device_id: str, request_id: str, payload: bytes) -> None:
    body = Outcome.model_validate_json(payload)
    context = RequestContext(request_id, device_id=device_id)
    outside = current.set(context)
    try:
        run, _ = await hub.runner.result(ending(request_id, device_id, body), insist=True)
        context.alias = run["alias"]
        told(run, body.outcome)
    finally:
        flush(context, hub.logs)
        current.reset(outside)


def ending(request_id: str, device_id: str, body: Outcome) -> Ending:
    data = None if body.data is None else body.model_dump_json(include={"data"})
    return Ending(request_id, device_id, body.outcome, body.message, data)
