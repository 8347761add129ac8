"""Nonces of signed requests: each good once, also for a hub that is started anew."""

from collections.abc import Sequence

from sqlalchemy import Connection

from hub.ids import now_ms
from hub.store.database import Database, Work
from hub.store.grouped import Grouped
from hub.store.statements import insert_new_ones
from hub.store.tables import nonces


class Nonces(Grouped[str, bool]):
    """`store` uses a nonce up; False when it was used. On disk before the request is done."""

    def __init__(self, db: Database) -> None:
        super().__init__(db, _use)


def _use(group: Sequence[str]) -> Work[list[bool]]:
    def work(conn: Connection) -> list[bool]:
        now = now_ms()
        return insert_new_ones(conn, nonces, [{"nonce": nonce, "used_at": now} for nonce in group], (nonces.c.nonce,))

    return work
