"""Provision keys, the credentials of provisioned devices, and the audit, in the database."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, select, update

from hub.errors import not_found
from hub.ids import digest, last4, now_ms, same
from hub.store.database import Work
from hub.store.statements import insert_new, one, rows
from hub.store.tables import credentials, devices, provision_audit, provision_keys
from hub.thingsboard.request import Wanted

k = provision_keys.c
c = credentials.c
d = devices.c
NO_SECRET: Final = digest("")


class NotFound(Exception):
    """Key or secret are not good; the argument says why, for the audit."""


class Failure(Exception):
    """The device cannot be provisioned; the argument says why."""


@dataclass(frozen=True, slots=True)
class Audit:
    request_id: str
    transport: str
    peer: str
    device_id: str | None
    key: str | None
    result: str
    reason: str


def create_key(key: str, secret_hash: str, kind: str, site: str | None, note: str | None) -> Work[None]:
    row = {"key": key, "secret_hash": secret_hash, "kind": kind, "site": site, "note": note, "created_at": now_ms()}

    def work(conn: Connection) -> None:
        conn.execute(provision_keys.insert().values(**row))

    return work


def list_keys() -> Work[list[dict[str, Any]]]:
    shown = (k.key, k.kind, k.site, k.note, k.created_at, k.revoked_at)
    return lambda conn: rows(conn, select(*shown).order_by(k.created_at.desc(), k.key).limit(1000))


def revoke_key(key: str) -> Work[None]:
    """Raises Refused when there is no such key. Devices that were provisioned with it stay."""

    def work(conn: Connection) -> None:
        if one(conn, select(k.key).where(k.key == key)) is None:
            raise not_found("provision key", key)
        conn.execute(update(provision_keys).where(k.key == key, k.revoked_at.is_(None)).values(revoked_at=now_ms()))

    return work


def check_key(wanted: Wanted) -> Work[dict[str, Any]]:
    """The key's row. Raises NotFound."""

    def work(conn: Connection) -> dict[str, Any]:
        row = one(conn, select(provision_keys).where(k.key == wanted.key))
        if not same(row["secret_hash"] if row else NO_SECRET, digest(wanted.secret)) or row is None:
            raise NotFound("unknown key" if row is None else "wrong secret")
        if row["revoked_at"] is not None:
            raise NotFound("key revoked")
        return row

    return work


def adopt(wanted: Wanted, login_hash: str) -> Work[bool]:
    """Make the device and its credentials; False when this very device has them already.

    Raises NotFound when the key was revoked meanwhile, and Failure.
    """

    def work(conn: Connection) -> bool:
        key = check_key(wanted)(conn)
        now = now_ms()
        row = {"device_id": wanted.name, "kind": key["kind"], "site": key["site"], "created_at": now}
        insert_new(conn, devices, row)
        device = one(conn, select(devices).where(d.device_id == wanted.name).with_for_update())
        if device is None or device["revoked_at"] is not None:
            raise Failure("the device is revoked")
        proof_hash = digest(wanted.proof)
        made = {
            "device_id": wanted.name,
            "type": wanted.type,
            "proof_hash": proof_hash,
            "login": wanted.login,
            "login_hash": login_hash,
            "certificate": wanted.proof if wanted.type == "X509_CERTIFICATE" else None,
            "key": wanted.key,
            "created_at": now,
        }
        found = one(conn, select(credentials).where(c.device_id == wanted.name))
        if found is None:
            if device["registered_at"] is not None:
                raise Failure("the device exists already")
            if not insert_new(conn, credentials, made):
                raise Failure("the credentials belong to another device")
            # A device that was only known by its messages becomes one of the key's kind.
            conn.execute(update(devices).where(d.device_id == wanted.name).values(registered_at=now, kind=key["kind"]))
            return True
        if not wanted.chosen or found["key"] != wanted.key:
            raise Failure("the device exists already")
        if (found["type"], found["login"]) != (wanted.type, wanted.login) or not same(found["proof_hash"], proof_hash):
            raise Failure("the device exists already")
        return False

    return work


def forget(device_id: str) -> Work[str | None]:
    """Take a device's credentials away, so that it can provision itself anew; it is not revoked any more.

    Its device token goes as well: what was good before the device was revoked must not be good again. The token's id,
    when it had one.

    Raises Refused when it was not provisioned here.
    """

    def work(conn: Connection) -> str | None:
        if conn.execute(delete(credentials).where(c.device_id == device_id)).rowcount == 0:
            raise not_found("provisioned device", device_id)
        token_id: str | None = conn.execute(select(d.token_id).where(d.device_id == device_id)).scalar()
        tokens = {"token_id": None, "token_hash": None, "fcm_token": None}
        conn.execute(
            update(devices).where(d.device_id == device_id).values(registered_at=None, revoked_at=None, **tokens)
        )
        return token_id

    return work


def audit(entry: Audit) -> Work[None]:
    row = {
        "created_at": now_ms(),
        "request_id": entry.request_id,
        "transport": entry.transport,
        "peer": entry.peer[:64],
        "device_id": entry.device_id,
        "key_last4": last4(entry.key) if entry.key and entry.key.isascii() else None,
        "result": entry.result,
        "reason": entry.reason[:128],
    }

    def work(conn: Connection) -> None:
        conn.execute(provision_audit.insert().values(**row))

    return work


def list_audit() -> Work[list[dict[str, Any]]]:
    a = provision_audit.c
    return lambda conn: rows(conn, select(provision_audit).order_by(a.id.desc()).limit(1000))


def accounts() -> Work[list[dict[str, Any]]]:
    """The broker accounts of all devices that are not revoked: device_id, kind, login, login_hash."""
    statement = (
        select(d.device_id, d.kind, c.login, c.login_hash)
        .join(devices, d.device_id == c.device_id)
        .where(d.revoked_at.is_(None), c.login_hash.is_not(None))
        .order_by(d.device_id)
    )
    return lambda conn: rows(conn, statement)
