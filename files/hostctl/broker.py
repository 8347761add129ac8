"""The broker's accounts: users with hashed passwords, in the form of the broker that this studio has.

Users come from the manifest (their passwords are secrets) and from `state/broker-users.d/*.json`, where another
program on the host may add accounts of its own: {"users": [{"name", "hash", "roles"}], "roles": [{"id",
"permissions": [{"topic", "activity"}]}]}, `hash` in the form base64(salt):iterations:base64(key).
"""

import base64
import hashlib
import hmac
import os
import time
from pathlib import Path
from typing import Any, Final

from hostctl import podman, store
from hostctl.errors import HostError
from hostctl.manifest import Manifest
from hostctl.paths import Paths
from hostctl.run import Account, run
from hostctl.system import id_ranges

ITERATIONS: Final = 10_000
"""The passwords have 256 random bits, so that no number of iterations matters; this one costs a Pi 20 ms."""
SALT_BYTES: Final = 12
"""Mosquitto 2.0 takes no other length."""
RELOAD_SECONDS: Final = 3
USERS: Final = {"hivemq": 10000, "mosquitto": 1883}
FORMAT: Final = 1


def new_hash(password: bytes, salt: bytes) -> str:
    key = hashlib.pbkdf2_hmac("sha512", password, salt, ITERATIONS, 64)
    return f"{base64.b64encode(salt).decode()}:{ITERATIONS}:{base64.b64encode(key).decode()}"


def matches(password: bytes, hashed: str) -> bool:
    """Whether a hash is that of a password (constant time)."""
    try:
        salt, iterations, key = hashed.split(":")
        made = hashlib.pbkdf2_hmac("sha512", password, base64.b64decode(salt), int(iterations), 64)
        return hmac.compare_digest(made, base64.b64decode(key))
    except ValueError:
        return False


def _additions(paths: Paths) -> dict[str, Any]:
    """What other programs on the host added, by file; a file that is no JSON object is left out."""
    folder = paths.state / "broker-users.d"
    found = {p.name: store.read_json(p) for p in sorted(folder.glob("*.json"))}
    return {name: value for name, value in found.items() if isinstance(value, dict)}


def _key(paths: Paths, wanted: Manifest, ids: dict[str, str]) -> str:
    """The hash of all that the broker's files are made of."""
    sources = {p: f["sha256"] for p, f in wanted.files.items() if p.startswith("hivemq/file-rbac/")}
    users = [[u["name"], u["role"], ids.get(u["secret"])] for u in wanted.facts.get("broker_users", [])]
    return store.short_hash([FORMAT, wanted.broker, sources, users, _additions(paths)])


def facts(paths: Paths, wanted: Manifest, ids: dict[str, str]) -> dict[str, Any]:
    """For the plan: why the broker's accounts must be written, or no reason."""
    record = store.read_json(paths.state / "broker.json") or {}
    reason = None
    if not record:
        reason = "there are none yet"
    elif record.get("key") != _key(paths, wanted, ids):
        reason = "accounts, rights or passwords changed"
    elif any(store.sha256(paths.state / name) != digest for name, digest in record["files"].items()):
        reason = "they were changed on the host"
    return {"needed": reason}


def ensure(paths: Paths, wanted: Manifest, who: Account) -> bool:
    """Write the accounts of the generation if anything about them changed; salts of unchanged passwords are kept."""
    ids = podman.secrets(who)
    if facts(paths, wanted, ids)["needed"] is None:
        return False
    declared = wanted.facts.get("broker_users", [])
    values = podman.get_secrets([u["secret"] for u in declared], who)
    lacking = [u["secret"] for u in declared if u["secret"] not in values]
    if lacking:
        raise HostError(f"the broker's accounts need the secrets {', '.join(lacking)}: run the deploy")
    known = store.read_json(paths.secrets / "broker-hashes.json") or {}
    hashes: dict[str, str] = {}
    for user in declared:
        name, password = user["name"], values[user["secret"]]
        kept = known.get(name, "")
        hashes[name] = kept if matches(password, kept) else new_hash(password, os.urandom(SALT_BYTES))
    store.write_json(paths.secrets / "broker-hashes.json", hashes, 0o600)
    files = _files(paths, wanted, hashes)
    owner = (_owner(wanted.broker, who), 0)
    changed = False
    for name, content in files.items():
        target = paths.state / name
        store.make_folder(target.parent)
        changed |= store.write(target, content, 0o400, owner)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    store.write_json(paths.state / "broker.json", {"key": _key(paths, wanted, ids), "files": digests})
    if changed:
        _tell(wanted, who)
    return changed


def _files(paths: Paths, wanted: Manifest, hashes: dict[str, str]) -> dict[str, bytes]:
    """The broker's files below state/, by their path there."""
    from hostctl import credentials

    users = [{"name": u["name"], "hash": hashes[u["name"]], "roles": [u["role"]]} for u in wanted.facts["broker_users"]]
    taken = {u["name"] for u in users}
    added = list(_additions(paths).values())
    users += [u for a in added for u in a.get("users", []) if u["name"] not in taken]
    if wanted.broker == "mosquitto":
        return {"mosquitto/passwd": credentials.mosquitto(users)}
    generation = paths.generation(wanted.generation)
    rbac = generation / "hivemq" / "file-rbac"
    roles = list((store.read_json(rbac / "roles.json") or {}).get("roles", []))
    ours = {r["id"] for r in roles}
    roles += [r for a in added for r in a.get("roles", []) if r["id"] not in ours]
    return {
        "hivemq-rbac/config.xml": (rbac / "config.xml").read_bytes(),
        "hivemq-rbac/credentials.xml": credentials.hivemq(users, roles),
    }


def _owner(broker: str, who: Account) -> int:
    """The user id on the host that is the broker's own user in its container."""
    first = id_ranges(who.name, who.uid, Path("/etc/subuid"))["own"][0][0]
    return first + USERS[broker] - 1


def _tell(wanted: Manifest, who: Account) -> None:
    """Let a running broker take its accounts over: HiveMQ looks by itself every few seconds, Mosquitto when told."""
    if wanted.broker == "mosquitto":
        run(["podman", "kill", "--signal", "HUP", "mosquitto"], who=who)


def wait_for_reload(wanted: Manifest) -> None:
    """Return when a running broker has taken new accounts over."""
    if wanted.broker == "hivemq":
        time.sleep(RELOAD_SECONDS)
