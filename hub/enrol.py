"""Enrolment: one-time tokens that expire, and the registration of a device with one."""

from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, delete, select, update

from hub.errors import Refused, not_found
from hub.ids import Token, now_ms, same
from hub.store.database import Work
from hub.store.statements import insert_new, one, rows
from hub.store.tables import credentials, devices, enrolment_tokens

DEFAULT_KIND: Final = "tablet"
UNKNOWN: Final = Refused(401, "token_unknown", "This enrolment token is not known; ask the admin for a new one.")


class TokenRefused(Exception):
    """Why an enrolment token is not taken: unknown, expired, revoked or consumed."""

    def __init__(self, reason: str, token_id: str | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.token_id = token_id

    def answer(self) -> Refused:
        if self.reason == "unknown":
            return UNKNOWN
        detail = f"This enrolment token is {self.reason}; ask the admin for a new one."
        return Refused(401, f"token_{self.reason}", detail)


@dataclass(frozen=True, slots=True)
class Registration:
    device_id: str
    token: Token
    """The device's own token, made by the device or by the hub."""
    chosen: bool
    """The device made the token itself, so that it can repeat a registration whose answer was lost."""
    kind: str | None = None
    """None: what the device was known as before, or a tablet."""
    alias: str | None = None
    site: str | None = None
    fcm_token: str | None = field(default=None, repr=False)


def create_token(token: Token, values: dict[str, Any]) -> Work[dict[str, Any]]:
    """`values` has device_id, note and expires_at."""
    row = {"token_id": token.id, "token_hash": token.hash, "created_at": now_ms(), **values}

    def work(conn: Connection) -> dict[str, Any]:
        conn.execute(enrolment_tokens.insert().values(**row))
        return row

    return work


def list_tokens(limit: int) -> Work[list[dict[str, Any]]]:
    t = enrolment_tokens.c
    shown = (t.token_id, t.device_id, t.note, t.created_at, t.expires_at, t.consumed_at, t.consumed_by, t.revoked_at)
    return lambda conn: rows(conn, select(*shown).order_by(t.created_at.desc(), t.token_id).limit(limit))


def revoke_token(token_id: str) -> Work[None]:
    """Raises Refused when there is no such token; revoking twice is fine."""

    def work(conn: Connection) -> None:
        t = enrolment_tokens.c
        if one(conn, select(t.token_id).where(t.token_id == token_id)) is None:
            raise not_found("enrolment token", token_id)
        conn.execute(
            update(enrolment_tokens).where(t.token_id == token_id, t.revoked_at.is_(None)).values(revoked_at=now_ms())
        )

    return work


def check_token(conn: Connection, token: Token | None) -> dict[str, Any]:
    """The row of a token whose secret is right. Raises TokenRefused when unknown, revoked or expired."""
    row = _known_token(conn, token)
    if row["expires_at"] <= now_ms():
        raise TokenRefused("expired", row["token_id"])
    return row


def _known_token(conn: Connection, token: Token | None, *, lock: bool = False) -> dict[str, Any]:
    """The same, expired or not."""
    statement = select(enrolment_tokens).where(enrolment_tokens.c.token_id == (token.id if token else ""))
    row = one(conn, statement.with_for_update() if lock else statement)
    if token is None or row is None or not same(row["token_hash"], token.hash):
        raise TokenRefused("unknown", token.id if token else None)
    if row["revoked_at"] is not None:
        raise TokenRefused("revoked", token.id)
    return row


def register(token: Token | None, wanted: Registration) -> Work[bool]:
    """Consume the token and register the device, both or neither; False when this very registration was made before.

    Raises TokenRefused, or Refused when the device exists and the token was not made for it.
    """

    def work(conn: Connection) -> bool:
        row = _known_token(conn, token, lock=True)
        if row["consumed_at"] is not None:
            if row["consumed_by"] == wanted.device_id and wanted.chosen and _registered(conn, wanted):
                return False
            raise TokenRefused("consumed", row["token_id"])
        if row["expires_at"] <= now_ms():
            raise TokenRefused("expired", row["token_id"])
        if row["device_id"] not in {None, wanted.device_id}:
            raise Refused(403, "token_for_other", "This enrolment token was made for another device.")
        _store(conn, wanted, overwrite=row["device_id"] is not None)
        conn.execute(
            update(enrolment_tokens)
            .where(enrolment_tokens.c.token_id == row["token_id"])
            .values(consumed_at=now_ms(), consumed_by=wanted.device_id)
        )
        return True

    return work


def _registered(conn: Connection, wanted: Registration) -> bool:
    columns = (devices.c.token_id, devices.c.token_hash, devices.c.revoked_at)
    found = one(conn, select(*columns).where(devices.c.device_id == wanted.device_id))
    return (
        found is not None
        and found["revoked_at"] is None
        and found["token_id"] == wanted.token.id
        and same(found["token_hash"] or "", wanted.token.hash)
    )


def _store(conn: Connection, wanted: Registration, *, overwrite: bool) -> None:
    now = now_ms()
    values = {"registered_at": now, "token_id": wanted.token.id, "token_hash": wanted.token.hash}
    given = {"kind": wanted.kind, "alias": wanted.alias, "site": wanted.site, "fcm_token": wanted.fcm_token}
    values |= {name: value for name, value in given.items() if value is not None}
    d = devices.c
    if wanted.chosen and one(
        conn, select(d.device_id).where(d.token_id == wanted.token.id, d.device_id != wanted.device_id)
    ):
        raise Refused(409, "token_taken", "Another device has this token id; make another random token.")
    if insert_new(conn, devices, {"device_id": wanted.device_id, "kind": DEFAULT_KIND, "created_at": now, **values}):
        return
    found = one(conn, select(d.registered_at, d.revoked_at).where(d.device_id == wanted.device_id).with_for_update())
    if found is None:
        raise Refused(409, "token_taken", "Another device has this token id; make another random token.")
    if found["registered_at"] is not None and not overwrite:
        raise Refused(
            409,
            "device_exists",
            f"The device {wanted.device_id!r} is registered already; to register it anew ask for a token made for it.",
        )
    if found["revoked_at"] is not None:
        # Its account at the broker must not be good again with it.
        conn.execute(delete(credentials).where(credentials.c.device_id == wanted.device_id))
    conn.execute(update(devices).where(d.device_id == wanted.device_id).values(**values, revoked_at=None))
