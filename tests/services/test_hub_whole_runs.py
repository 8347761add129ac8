"""A run with all its output, however much it is: nothing else waits while it is told."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hub_phone import run_of
from hub_support import ADMIN, RunningHub
from sqlalchemy import Connection

from hub.runs import whole
from hub.store.tables import devices, run_chunks, runs

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]


async def make(hub: RunningHub, pieces: list[bytes]) -> None:
    """A run with every second number, in an order of its own."""

    def work(conn: Connection) -> None:
        conn.execute(devices.insert().values(device_id="a", kind="plant", created_at=1))
        run = {"request_id": "run-1", "device_id": "a", "action": "x", "params": "{}", "protocol": "mqtt"}
        conn.execute(runs.insert().values(**run, status="ok", timeout_ms=1, created_at=1, chunks=len(pieces)))
        rows = [
            {"request_id": "run-1", "seq": 2 * seq, "stream": "stdout", "data": data, "received_at": seq}
            for seq, data in enumerate(pieces)
        ]
        if rows:
            conn.execute(run_chunks.insert(), rows[::-1])

    await hub.hub.db.write(work)


@pytest.mark.parametrize("count", [0, 1, whole.PIECES - 1, whole.PIECES, whole.PIECES + 1, 3 * whole.PIECES])
async def test_a_run_is_told_whole_however_many_pieces_it_has(hub: RunningHub, count: int) -> None:
    texts = [f'piece {n} "\x00\x1bé\n' for n in range(count)]
    await make(hub, [text.encode() for text in texts])
    run = await run_of(hub, "run-1")
    assert (run["request_id"], run["status"], run["chunks"]) == ("run-1", "ok", count)
    expected = [{"seq": 2 * n, "stream": "stdout", "data": text, "received_at": n} for n, text in enumerate(texts)]
    assert run["output"] == expected


async def test_what_is_no_text_is_told_as_far_as_it_is(lite: RunningHub) -> None:
    await make(lite, [b"caf\xc3", b"\xa9"])
    assert [piece["data"] for piece in (await run_of(lite, "run-1"))["output"]] == ["caf\ufffd", "\ufffd"]


async def test_while_a_long_run_is_told_others_are_answered(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    await make(hub, [b"x"] * (whole.PIECES + 1))
    asked, answered, made = threading.Semaphore(0), threading.Semaphore(0), whole._json
    waited: list[bool] = []

    def slowly(page: Sequence[Any]) -> bytes:
        asked.release()
        waited.append(answered.acquire(timeout=30))
        return made(page)

    monkeypatch.setattr(whole, "_json", slowly)
    telling = asyncio.create_task(run_of(hub, "run-1"))
    for _ in ("the first page", "the last piece"):
        assert await asyncio.to_thread(asked.acquire, timeout=30)
        assert (await hub.client.get("/healthz")).status_code == 200
        answered.release()
    assert len((await telling)["output"]) == whole.PIECES + 1
    assert waited == [True, True]


async def test_a_run_that_is_not_there_is_said(lite: RunningHub) -> None:
    answer = await lite.client.get("/admin/runs/none", headers=ADMIN)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
