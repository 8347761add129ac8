"""A run with all its output, as JSON, however much it is: a page of pieces at a time, so that nothing else waits."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

import orjson
from sqlalchemy import select

from hub.runs.store import get
from hub.store import Database
from hub.store.database import Work
from hub.store.tables import run_chunks

PIECES: Final = 500
Piece = tuple[int, str, bytes, int]
"""Number, stream, data, when it came (ms)."""


async def whole(db: Database, request_id: str) -> AsyncIterator[bytes]:
    """The JSON in parts, when it is sure that there is such a run. Raises Refused (404)."""
    run = await db.read(lambda conn: get(conn, request_id))
    return _parts(
        db, request_id, orjson.dumps({**run, "output": []}, option=orjson.OPT_NON_STR_KEYS).removesuffix(b"]}")
    )


async def _parts(db: Database, request_id: str, head: bytes) -> AsyncIterator[bytes]:
    yield head
    after, between = -1, b""
    while page := await db.read(_page(request_id, after)):
        yield between + await asyncio.to_thread(_json, page)
        after, between = page[-1][0], b","
    yield b"]}"


def _page(request_id: str, after: int) -> Work[Sequence[Piece]]:
    """Pieces behind a number, in their order."""
    c = run_chunks.c
    behind = select(c.seq, c.stream, c.data, c.received_at).where(c.request_id == request_id, c.seq > after)
    return lambda conn: [tuple(row) for row in conn.execute(behind.order_by(c.seq).limit(PIECES))]


def _json(page: Sequence[Piece]) -> bytes:
    pieces = [
        {"seq": seq, "stream": stream, "data": data.decode("utf-8", "replace"), "received_at": received_at}
        for seq, stream, data, received_at in page
    ]
    return orjson.dumps(pieces)[1:-1]
