"""Secrets for people: list, show, rotate, set. A changed secret restarts exactly its users."""

import json
from collections.abc import Callable

from hostctl import broker, lock, manifest, podman, restart, status, tls, vault
from hostctl.errors import HostError
from hostctl.paths import Paths
from hostctl.probe import probe
from hostctl.run import need_account


def listing(paths: Paths, *, as_json: bool) -> str:
    wanted = manifest.current(paths)
    found = status.secrets(wanted, probe(wanted, paths))
    if as_json:
        return json.dumps(found, indent=1)
    state = {True: "set", False: "not set"}
    return "\n".join(
        f"{s['name']:<28} {s['origin']:<10} {state[s['set']]:<8} {', '.join(s['consumers'])}" for s in found
    )


def show(paths: Paths, name: str) -> bytes:
    """The value of a secret."""
    wanted = manifest.current(paths)
    wanted.secret(name)
    values = podman.get_secrets([name], need_account(wanted.user))
    if name not in values:
        raise HostError(f"the secret {name} is not on this host: run the deploy")
    return values[name]


def change(paths: Paths, name: str, value: str | None, say: Callable[[str], None]) -> None:
    """Give a secret a new value (None: a random one), then restart what uses it, and nothing else."""
    with lock.locked(paths, f"secret {name}"):
        wanted = manifest.current(paths)
        who = need_account(wanted.user)
        if value is None:
            vault.rotate(paths, wanted, name, who)
        else:
            vault.set_value(paths, wanted, name, value, who)
        tls.ensure(paths, wanted, who)
        if broker.ensure(paths, wanted, who):
            broker.wait_for_reload(wanted)
        say(f"{name} has a new value")
        restart.apply(paths, say)
