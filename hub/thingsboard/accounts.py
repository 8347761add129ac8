"""Accounts of provisioned devices for the host's broker, in a file that the host takes over.

The form is {"users": [{"name", "hash", "roles"}], "roles": [{"id", "permissions": [{"topic", "activity"}]}]}, `hash` is
base64(salt):iterations:base64(PBKDF2-HMAC-SHA512). A device may publish to its own topics and hear its own commands.
"""

import asyncio
import base64
import contextlib
import hashlib
import os
import secrets
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from hub.durable import sync
from hub.store import Database
from hub.thingsboard import store

log = structlog.get_logger()
AGAIN_SECONDS: Final = 2.0
ITERATIONS: Final = 10_000
ITERATIONS_OF_LONG: Final = 1_000
LONG: Final = 20
"""Tokens and passwords that the hub or an agent makes are so long and have more than 100 random bits: nobody
guesses them however cheap a try is. What people choose is shorter: a Pi takes 20 ms for it, here and at each login."""
KEY_BYTES: Final = 64
SALT_BYTES: Final = 12
"""Mosquitto 2.0 takes no other length."""
PUBLISH: Final = ("telemetry", "flame", "state", "run/+/chunk", "run/+/result")


def broker_hash(password: str) -> str:
    salt = secrets.token_bytes(SALT_BYTES)
    iterations = ITERATIONS_OF_LONG if len(password) >= LONG else ITERATIONS
    return _hash(salt, iterations, hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations, KEY_BYTES))


def hash_of_none() -> str:
    """What no password has for its hash."""
    return _hash(secrets.token_bytes(SALT_BYTES), ITERATIONS_OF_LONG, secrets.token_bytes(KEY_BYTES))


def _hash(salt: bytes, iterations: int, key: bytes) -> str:
    return f"{base64.b64encode(salt).decode()}:{iterations}:{base64.b64encode(key).decode()}"


def content(accounts: list[dict[str, Any]]) -> dict[str, Any]:
    """The file's content."""
    users, roles = [], []
    for account in accounts:
        role = f"provisioned-{account['device_id']}"
        own = f"{account['kind']}/{account['device_id']}"
        may = [{"topic": f"{own}/{topic}", "activity": "PUBLISH"} for topic in PUBLISH]
        may.append({"topic": f"{own}/cmd/#", "activity": "SUBSCRIBE"})
        users.append({"name": account["login"], "hash": account["login_hash"], "roles": [role]})
        roles.append({"id": role, "permissions": may})
    return {"users": users, "roles": roles}


class Accounts:
    """Writes the file whenever accounts change; changes that come together are written together."""

    def __init__(self, db: Database, path: Path | None, problems: dict[str, str]) -> None:
        self._db = db
        self._path = path
        self._problems = problems
        self._writing = asyncio.Lock()
        self._wanted = 0
        self._written = 0
        self._again: asyncio.Task[None] | None = None

    def clean(self) -> None:
        """Remove what a hub that was killed left half written; to be called before anything is published."""
        if self._path is not None:
            for partial in self._path.parent.glob(f".{self._path.name}.{'[0-9a-f]' * 8}"):
                with contextlib.suppress(OSError):
                    partial.unlink()

    async def publish(self) -> None:
        """Return when the file has everything that is in the database now.

        A failure is a problem that is shown, until it went well again: it is tried every few seconds,
        which is logged no more.
        """
        if self._path is None:
            return
        if not await self._publish(self._path) and self._again is None:
            self._again = asyncio.create_task(self._until_well(self._path))

    async def close(self) -> None:
        if self._again is not None:
            self._again.cancel()
            await asyncio.gather(self._again, return_exceptions=True)

    async def _until_well(self, path: Path) -> None:
        well = False
        while not well:
            await asyncio.sleep(AGAIN_SECONDS)
            well = await self._publish(path, again=True)
        self._again = None

    async def _publish(self, path: Path, *, again: bool = False) -> bool:
        self._wanted += 1
        mine = self._wanted
        async with self._writing:
            if self._written >= mine:
                return True
            upto = self._wanted
            try:
                accounts = await self._db.read(store.accounts())
                await asyncio.to_thread(_write, path, accounts)
            except Exception as error:
                self._problems["broker accounts"] = f"they cannot be written: {error}"
                if not again:
                    log.error("broker_accounts.fail", reason=str(error))
                return False
            self._problems.pop("broker accounts", None)
            self._written = upto
            return True


def _write(path: Path, accounts: list[dict[str, Any]]) -> None:
    write_file(path, orjson.dumps(content(accounts), option=orjson.OPT_INDENT_2))


def write_file(path: Path, data: bytes) -> None:
    """Replace a file in one step: it is the old one or the new one, whatever happens."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
    sync(path.parent)
