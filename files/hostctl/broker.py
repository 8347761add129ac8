"""The broker's accounts: users with hashed passwords, in the form of the broker that this studio has.

Users come from the manifest (their passwords are secrets) and from what the hub added (see additions).
"""

import base64
import hashlib
import hmac
import os
import time
from typing import Any, Final

from hostctl import additions, lock, manifest, podman, store
from hostctl.errors import HostError
from hostctl.manifest import Manifest
from hostctl.paths import Paths
from hostctl.run import Account, run
from hostctl.system import inside_uid

ITERATIONS: Final = 10_000
"""The passwords have 256 random bits, so that no number of iterations matters; this one costs a Pi 20 ms."""
SALT_BYTES: Final = 12
"""Mosquitto 2.0 takes no other length."""
RELOAD_SECONDS: Final = 2
USERS: Final = {"hivemq": 10000, "mosquitto": 1883}
FORMAT: Final = 2
SOURCES: Final = ("hivemq/file-rbac/", "mosquitto/acl")


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


def _additions(paths: Paths, wanted: Manifest) -> dict[str, list[dict[str, Any]]]:
    """What the hub added; nothing where the studio has no hub that could take it back."""
    return additions.accepted(paths) if wanted.has_hub else {"users": [], "roles": []}


def _key(wanted: Manifest, ids: dict[str, str]) -> str:
    """The hash of what the broker's files are made of, but for what the hub added."""
    sources = {p: f["sha256"] for p, f in wanted.files.items() if p.startswith(SOURCES)}
    users = [[u["name"], u["role"], ids.get(u["secret"])] for u in wanted.facts.get("broker_users", [])]
    return store.short_hash([FORMAT, wanted.broker, sources, users])


def facts(paths: Paths, wanted: Manifest, ids: dict[str, str]) -> dict[str, Any]:
    """For the plan: why the broker's accounts must be written, or no reason."""
    record = store.read_json(paths.state / "broker.json") or {}
    reason = None
    if not record:
        reason = "there are none yet"
    elif record.get("key") != _key(wanted, ids):
        reason = "accounts, rights or passwords changed"
    elif record.get("additions") != store.short_hash(_additions(paths, wanted)):
        reason = "the hub's accounts changed"
    elif any(store.sha256(paths.state / name) != digest for name, digest in record["files"].items()):
        reason = "they were changed on the host"
    return {"needed": reason}


def ensure(paths: Paths, wanted: Manifest, who: Account) -> bool:
    """Write the accounts of the generation if anything about them changed; salts of unchanged passwords are kept."""
    with lock.accounts(paths):
        ids = podman.secrets(who)
        if facts(paths, wanted, ids)["needed"] is None:
            return False
        declared = wanted.facts.get("broker_users", [])
        values = podman.get_secrets([u["secret"] for u in declared], who)
        lacking = [u["secret"] for u in declared if u["secret"] not in values]
        if lacking:
            raise HostError(f"the broker's accounts need the secrets {', '.join(lacking)}: run the deploy")
        known = _hashes(paths)
        hashes: dict[str, str] = {}
        for user in declared:
            name, password = user["name"], values[user["secret"]]
            kept = known.get(name, "")
            hashes[name] = kept if matches(password, kept) else new_hash(password, os.urandom(SALT_BYTES))
        store.write_json(paths.secrets / "broker-hashes.json", hashes, 0o600)
        return _write(paths, wanted, who, hashes, _key(wanted, ids))


def take_additions(paths: Paths, who: Account) -> str:
    """Give the broker what the hub left for it, beside a deploy and without asking podman; returns what was done.

    Where the studio's own accounts are not written yet, the deploy's next step brings both.
    """
    with lock.accounts(paths):
        if not additions.take(paths):
            return "nothing new"
        wanted, hashes = manifest.current(paths), _hashes(paths)
        told = additions.status(paths)
        if told["refused"]:
            return f"refused, what was taken before still holds: {told['refused']}"
        record = store.read_json(paths.state / "broker.json") or {}
        if record and all(u["name"] in hashes for u in wanted.facts.get("broker_users", [])):
            _write(paths, wanted, who, hashes, record["key"])
        left = f", left out: {'; '.join(told['left_out'])}" if told["left_out"] else ""
        return f"{told['accounts']} accounts{left}"


def _hashes(paths: Paths) -> dict[str, str]:
    """The hashed passwords of the studio's own accounts, by name."""
    found = store.read_json(paths.secrets / "broker-hashes.json")
    return found if isinstance(found, dict) else {}


def _write(paths: Paths, wanted: Manifest, who: Account, hashes: dict[str, str], key: str) -> bool:
    """Write the broker's files and let it take them over; False when they were right already."""
    added = _additions(paths, wanted)
    files = _files(paths, wanted, hashes, added)
    owner = (inside_uid(who, USERS[wanted.broker]), 0)
    changed = False
    for name, content in files.items():
        target = paths.state / name
        store.make_folder(target.parent)
        changed |= store.write(target, content, 0o400, owner)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    store.write_json(paths.state / "broker.json", {"key": key, "additions": store.short_hash(added), "files": digests})
    if changed:
        _tell(wanted, who)
    return changed


def _files(
    paths: Paths, wanted: Manifest, hashes: dict[str, str], added: dict[str, list[dict[str, Any]]]
) -> dict[str, bytes]:
    """The broker's files below state/, by their path there."""
    from hostctl import credentials

    users = [{"name": u["name"], "hash": hashes[u["name"]], "roles": [u["role"]]} for u in wanted.facts["broker_users"]]
    taken = {u["name"] for u in users}
    more = [u for u in added["users"] if u["name"] not in taken]
    generation = paths.generation(wanted.generation)
    if wanted.broker == "mosquitto":
        acl = (generation / "mosquitto" / "acl").read_bytes()
        return {
            "mosquitto/passwd": credentials.mosquitto(users + more),
            "mosquitto/acl": acl + credentials.mosquitto_acl(more, added["roles"]),
        }
    rbac = generation / "hivemq" / "file-rbac"
    roles = list((store.read_json(rbac / "roles.json") or {}).get("roles", []))
    ours = {r["id"] for r in roles}
    roles += [r for r in added["roles"] if r["id"] not in ours]
    return {
        "hivemq-rbac/config.xml": (rbac / "config.xml").read_bytes(),
        "hivemq-rbac/credentials.xml": credentials.hivemq(users + more, roles),
    }


def _tell(wanted: Manifest, who: Account) -> None:
    """Let a running broker take its accounts over: HiveMQ looks by itself every few seconds, Mosquitto when told."""
    if wanted.broker == "mosquitto":
        run(["podman", "kill", "--signal", "HUP", "mosquitto"], who=who)


def wait_for_reload(wanted: Manifest) -> None:
    """Return when a running broker has taken new accounts over."""
    if wanted.broker == "hivemq":
        time.sleep(RELOAD_SECONDS)
