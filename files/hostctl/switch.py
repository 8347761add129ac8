"""Take another generation into use: one symbolic link, and what follows from it."""

import time
from typing import Any

from hostctl import inputs, links, manifest, probe, services, store, units
from hostctl.errors import HostError
from hostctl.manifest import Component, Manifest
from hostctl.paths import Paths
from hostctl.run import Account, must, need_account, run

REMEMBERED = 20


def switch(paths: Paths, name: str, *, back: bool = False) -> None:
    """Make `name` the current generation. What it no longer has is stopped first, while its units are still known.

    Until `restart` has seen every service healthy, `pending` says where to go back to. Each line may be the last one
    that runs: running it again ends in the same state.

    Args:
        back: this undoes an unfinished switch, which is then no longer pending.
    """
    wanted = manifest.load(paths.generation(name))
    if not (paths.validated / name).exists():
        raise HostError(f"generation {name} was never judged: run the deploy")
    who = need_account(wanted.user)
    was = manifest.current_name(paths)
    pending = store.read_json(paths.pending) or {}
    if was != name and not back:
        store.write_json(paths.pending, {"from": pending.get("from") or was, "to": name})
    remove_stale(paths, wanted, who)
    if store.link(paths.current, f"generations/{name}"):
        _remember(paths, name)
    links.place(paths, wanted, who)
    services.reload(who)
    services.reload(None)
    firewall(paths, wanted)
    accounts(paths, wanted)
    hosted = [c.unit for c in wanted.host_services]
    if hosted:
        run(["systemctl", "enable", "--quiet", "--", *hosted])


def remove_stale(paths: Paths, wanted: Manifest, who: Account) -> list[str]:
    """Stop every service of ours that this generation does not have (its data stays); returns their names."""
    keep = {c.unit for c in wanted.components}
    gone = [c for unit, c in manifest.known_components(paths).items() if unit not in keep]
    _stop([c for c in gone if c.kind == "quadlet"], who)
    hosted = [c for c in gone if c.kind == "host"]
    if hosted:
        run(["systemctl", "disable", "--quiet", "--now", "--", *(c.unit for c in hosted)])
        for component in hosted:
            store.remove(paths.inputs(component.name))
    return [c.name for c in gone]


def _stop(gone: list[Component], who: Account) -> None:
    shown = services.show([c.unit for c in gone], who)
    alive = [c for c in gone if shown.get(c.unit, {}).get("ActiveState", "inactive") != "inactive"]
    services.stop([c.unit for c in alive], who)
    if alive:
        run(["podman", "rm", "--force", "--ignore", "--time", "10", *(c.container for c in alive)], who=who)
        run(["systemctl", "--user", "reset-failed", "--", *(c.unit for c in alive)], who=who)


def firewall(paths: Paths, wanted: Manifest) -> None:
    """Load this generation's rules now and at every boot; a generation without rules has none loaded."""
    unit = paths.units / units.FIREWALL
    if wanted.firewall:
        must(["systemctl", "enable", "--quiet", units.FIREWALL], "could not enable the firewall")
        if probe.firewall(paths) != inputs.expected_firewall(wanted):
            # Not stop and start: the old rules hold until the new ones replace them in one transaction.
            must(["nft", "-f", str(paths.current / wanted.firewall)], "could not load the firewall's rules")
            inputs.record(paths, inputs.FIREWALL)
    elif unit.exists():
        run(["systemctl", "disable", "--quiet", "--now", units.FIREWALL])
        run(["nft", "delete", "table", "inet", "sensor_pipeline"])
        store.remove(unit)
        store.remove(paths.inputs(inputs.FIREWALL))


def accounts(paths: Paths, wanted: Manifest) -> None:
    """Watch for accounts that the hub adds; a generation without hub has nobody watch."""
    if wanted.has_hub:
        doing = "could not watch for the hub's accounts"
        must(["systemctl", "enable", "--quiet", units.ACCOUNTS_PATH], doing, timeout=60)
        must(["systemctl", "restart", units.ACCOUNTS_PATH], doing, timeout=60)
    elif (paths.units / units.ACCOUNTS_PATH).exists():
        run(["systemctl", "disable", "--quiet", "--now", units.ACCOUNTS_PATH])
        for name in (units.ACCOUNTS_PATH, units.ACCOUNTS):
            store.remove(paths.units / name)


def _remember(paths: Paths, name: str) -> None:
    entry = {"generation": name, "at": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    store.write_json(paths.history, [*history(paths), entry][-REMEMBERED:])


def history(paths: Paths) -> list[dict[str, Any]]:
    """The switches made on this host, oldest first: [{"generation", "at"}]."""
    found = store.read_json(paths.history)
    return found if isinstance(found, list) else []


def previous(paths: Paths) -> str | None:
    """The generation that was in use before the current one and is still on the host."""
    here = set(manifest.names(paths)) - {manifest.current_name(paths)}
    return next((e["generation"] for e in reversed(history(paths)) if e["generation"] in here), None)
