"""What a device tells of a run, in the database: its output in chunks, and how it ended. All of it may be repeated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select, update

from hub.errors import Refused, not_found
from hub.ids import now_ms
from hub.runs.store import ACTIVE, Row
from hub.store.database import Work
from hub.store.statements import one
from hub.store.tables import devices, run_chunks, runs

PIECE_BYTES: Final = 100
"""What a piece costs beside its content, so that not even empty ones are without end."""


@dataclass(frozen=True, slots=True)
class Chunk:
    request_id: str
    device_id: str
    seq: int
    stream: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Ending:
    request_id: str
    device_id: str
    outcome: str
    """ok or error"""
    error: str | None
    result: str | None
    """JSON"""


def finish(ending: Ending) -> Work[tuple[Row, bool]]:
    """End a run as its device says; (the run, False) when it had ended: as said, or timed out. Raises Refused."""

    def work(conn: Connection) -> tuple[Row, bool]:
        run = _own(conn, ending.request_id, ending.device_id)
        if run["status"] in ACTIVE:
            values = {"status": ending.outcome, "error": ending.error, "result": ending.result, "ended_at": now_ms()}
            conn.execute(update(runs).where(runs.c.request_id == ending.request_id).values(**values))
            return run | values, True
        if run["status"] not in {ending.outcome, "timeout"}:
            raise Refused(409, "run_ended", f"This run ended before, as {run['status']}.")
        return run, False

    return work


def add_chunk(chunk: Chunk, max_bytes: int) -> Work[tuple[Row, bool]]:
    """Store a piece of output; (the run, False) when it is there. Raises Refused."""

    def work(conn: Connection) -> tuple[Row, bool]:
        run = _own(conn, chunk.request_id, chunk.device_id)
        key = (run_chunks.c.request_id == chunk.request_id, run_chunks.c.seq == chunk.seq)
        found = one(conn, select(run_chunks.c.data, run_chunks.c.stream).where(*key))
        if found is not None:
            if (found["data"], found["stream"]) != (chunk.data, chunk.stream):
                raise Refused(409, "chunk_differs", f"Chunk {chunk.seq} was stored with other content.")
            return run, False
        if run["status"] not in ACTIVE:
            raise Refused(409, "run_ended", f"This run ended before, as {run['status']}.")
        if run["bytes"] + len(chunk.data) + (run["chunks"] + 1) * PIECE_BYTES > max_bytes:
            told = f"A run's output is at most {max_bytes} bytes; a piece counts {PIECE_BYTES} besides its own."
            raise Refused(413, "run_too_big", told)
        row = {"request_id": chunk.request_id, "seq": chunk.seq, "stream": chunk.stream, "data": chunk.data}
        conn.execute(run_chunks.insert().values(received_at=now_ms(), **row))
        total = {"bytes": run["bytes"] + len(chunk.data), "chunks": run["chunks"] + 1, "status": "running"}
        conn.execute(update(runs).where(runs.c.request_id == chunk.request_id).values(**total))
        return run | total, True

    return work


def in_turn(told: Sequence[Work[Any]]) -> Work[list[Any | Exception]]:
    """What is told of runs, in the order in which it came; of each what came of it, or why it was refused."""

    def work(conn: Connection) -> list[Any | Exception]:
        found: list[Any | Exception] = []
        for one_told in told:
            try:
                found.append(one_told(conn))
            except Refused as refused:  # before it changed anything
                found.append(refused)
        return found

    return work


def _own(conn: Connection, request_id: str, device_id: str) -> Row:
    """The device's own run, locked, with its `alias`; another device's run does not exist for it. Raises Refused."""
    wanted = select(runs, devices.c.alias, devices.c.revoked_at).join(devices, devices.c.device_id == runs.c.device_id)
    run = one(conn, wanted.where(runs.c.request_id == request_id).with_for_update(of=runs))
    if run is None or run["device_id"] != device_id:
        raise not_found("run", request_id)
    if run["revoked_at"] is not None:
        raise Refused(403, "device_revoked", f"The device {device_id!r} is revoked.")
    return run
