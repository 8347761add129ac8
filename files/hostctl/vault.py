"""Secrets: podman holds them, this module makes, takes, compares and hands them out. Values go through pipes only."""

import base64
import hashlib
import hmac
import json
import os
from typing import Any, Final

from hostctl import podman, store
from hostctl.errors import BAD_INPUT, HostError
from hostctl.manifest import Manifest
from hostctl.paths import Paths
from hostctl.run import Account

UNSET: Final = "unset"
"""What an optional secret holds until somebody gives it a value: a container cannot start without the secret."""


def _records(paths: Paths) -> dict[str, Any]:
    found = store.read_json(paths.secrets / "user.json")
    return found if isinstance(found, dict) else {}


def _handed_out(paths: Paths) -> dict[str, Any]:
    found = store.read_json(paths.secrets / "host.json")
    return found if isinstance(found, dict) else {}


def fingerprint(value: str, salt: str) -> str:
    """What is kept of a user's secret to see whether a later deploy brings another value."""
    return hashlib.pbkdf2_hmac("sha256", value.encode(), bytes.fromhex(salt), 2000).hex()


def facts(paths: Paths, wanted: Manifest, ids: dict[str, str], given: dict[str, str]) -> dict[str, Any]:
    """For the plan, by name: the given secrets that are new here, the unset ones, and out-of-date host files."""
    records = {name: r for name, r in _records(paths).items() if r.get("id") == ids.get(name)}
    handed = _handed_out(paths)
    stale = []
    for name in wanted.host_secrets:
        record = handed.get(name, {})
        if record.get("id") != ids.get(name) or record.get("sha256") != store.sha256(paths.secrets / name):
            stale.append(name)
    users = {s["name"] for s in wanted.secrets if s["origin"] == "user"}
    return {
        "given": sorted(users & set(given)),
        "new_secrets": sorted(n for n in users & set(given) if is_new(given[n], records.get(n))),
        "unset_secrets": sorted(n for n, r in records.items() if r.get("unset")),
        "stale_host_secrets": stale + sorted(set(handed) - set(wanted.host_secrets)),
    }


def is_new(value: str, record: dict[str, Any] | None) -> bool:
    """Whether a user's value differs from what the host has of it (constant time)."""
    if record is None or record.get("unset"):
        return True
    return not hmac.compare_digest(fingerprint(value, record["salt"]), record["hash"])


def _put_user(paths: Paths, name: str, value: str, who: Account, *, unset: bool = False) -> None:
    salt = os.urandom(16).hex()
    key = podman.put_secret(name, value.encode(), who)
    record = {"salt": salt, "hash": fingerprint(value, salt), "id": key, "unset": unset}
    store.write_json(paths.secrets / "user.json", {**_records(paths), name: record}, 0o600)


def ensure(paths: Paths, wanted: Manifest, given: dict[str, str], who: Account) -> list[str]:
    """Make the missing secrets, take the given ones, hand out the host's files; returns what was done, for people.

    Raises:
        HostError: required secrets of the user's are neither given nor on the host; nothing was changed then.
    """
    store.make_folder(paths.secrets, 0o700)
    ids = podman.secrets(who)
    users = [s for s in wanted.secrets if s["origin"] == "user"]
    missing = [s["name"] for s in users if s["name"] not in ids and s["name"] not in given and s.get("required")]
    if missing:
        raise HostError(missing_message(missing))
    new = facts(paths, wanted, ids, given)["new_secrets"]
    done = []
    for secret in wanted.secrets:
        name = secret["name"]
        if secret["origin"] == "generated" and name not in ids:
            podman.put_secret(name, new_password(), who)
            done.append(f"{name}: made")
        elif name in new:
            _put_user(paths, name, given[name], who)
            done.append(f"{name}: taken over")
        elif secret["origin"] == "user" and name not in ids and name not in given:
            _put_user(paths, name, UNSET, who, unset=True)
            done.append(f"{name}: not given yet")
    hand_out(paths, wanted, who)
    return done


def missing_message(names: list[str]) -> str:
    listed = ", ".join(f"{n} (STUDIO_SECRET_{n.upper().replace('-', '_')})" for n in names)
    return f"secrets have no value yet: {listed}; give them by the environment or by the studio's .secrets.age file"


def new_password() -> bytes:
    """256 random bits, in letters, digits, - and _."""
    return base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=")


def hand_out(paths: Paths, wanted: Manifest, who: Account) -> None:
    """Write the files (0600, root's) of the secrets that programs on the host read; remove those of others."""
    ids = podman.secrets(who)
    values = podman.get_secrets([n for n in wanted.host_secrets if n in ids], who)
    record = {}
    for name, value in values.items():
        store.write(paths.secrets / name, value, 0o600)
        record[name] = {"id": ids[name], "sha256": hashlib.sha256(value).hexdigest()}
    for name in set(_handed_out(paths)) - set(record):
        store.remove(paths.secrets / name)
    monit_secrets(paths, wanted, values)
    store.write_json(paths.secrets / "host.json", record, 0o600)


def monit_secrets(paths: Paths, wanted: Manifest, values: dict[str, bytes]) -> None:
    """The line of monit's configuration that holds M/Monit's password, in a folder that monitrc includes."""
    folder = paths.secrets / "monit"
    store.make_folder(folder, 0o700)
    target = folder / "mmonit.conf"
    mmonit = wanted.facts.get("mmonit")
    if not mmonit or mmonit["secret"] not in values:
        store.remove(target)
        return
    from urllib.parse import quote

    password = quote(values[mmonit["secret"]].decode(), safe="")
    url = f"https://{quote(mmonit['user'], safe='')}:{password}@{mmonit['address']}:{mmonit['port']}/collector"
    line = f"set mmonit {url} with timeout 15 seconds and register without credentials\n"
    store.write(target, line.encode(), 0o600)


def set_value(paths: Paths, wanted: Manifest, name: str, value: str, who: Account) -> None:
    """Give a user's secret a value."""
    if wanted.secret(name)["origin"] != "user":
        raise HostError(f"{name} is made on this host: use `hostctl secrets rotate {name}`", BAD_INPUT)
    if not value or "\x00" in value:
        raise HostError(f"the value of {name} is empty or holds a NUL byte", BAD_INPUT)
    _put_user(paths, name, value, who)
    hand_out(paths, wanted, who)


def rotate(paths: Paths, wanted: Manifest, name: str, who: Account) -> None:
    """Give a secret that is made on this host a new value; a part of the certificate is made with all of it."""
    origin = wanted.secret(name)["origin"]
    if origin == "user":
        raise HostError(f"{name} is not made on this host: use `hostctl secrets set {name}` or the deploy", BAD_INPUT)
    if origin == "tls":
        # Without its record the certificate is made anew, and all secrets that belong to it.
        store.remove(paths.state / "tls" / "record.json")
        return
    podman.put_secret(name, new_password(), who)
    hand_out(paths, wanted, who)


def parse_given(text: str) -> dict[str, str]:
    """The values a deploy sends: a JSON object of text."""
    try:
        given = json.loads(text or "{}")
    except ValueError:
        raise HostError("the secrets sent are no JSON", BAD_INPUT) from None
    return {str(name): str(value) for name, value in given.items()}
