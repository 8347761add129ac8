"""One question, one answer: everything the plan needs to know of the host, as JSON."""

from pathlib import Path
from typing import Any

from hostctl import (
    broker,
    extension,
    folders,
    generation,
    images,
    inputs,
    links,
    manifest,
    podman,
    ports,
    services,
    store,
    system,
    tls,
    vault,
)
from hostctl.manifest import Component, Manifest
from hostctl.paths import Paths
from hostctl.run import Account, account, finish, run, start


def probe(wanted: Manifest, paths: Paths, given: dict[str, str] | None = None) -> dict[str, Any]:
    """The state of the host as far as `wanted` (the manifest to be deployed) and the `given` secrets concern it.

    Only reads; of the given secrets only their names come back. Whatever cannot be known yet
    (no account, no podman) is empty: the plan takes it for missing.
    """
    who = account(wanted.user)
    known = manifest.known_components(paths)
    for component in wanted.components:
        known[component.unit] = component
    asked = _ask(wanted, list(known.values()), who)
    state: dict[str, Any] = {
        **system.facts(),
        "account": system.account_facts(wanted.user, who),
        "packages": system.packages([*wanted.facts["packages"], "podman"]),
        "current": manifest.current_name(paths),
        "generations": manifest.names(paths),
        "validated": generation.is_validated(paths, wanted.generation),
        "damaged": generation.damaged(paths, wanted),
        "pending": store.read_json(paths.pending),
        "failed": store.read_json(paths.failed),
        "marks": sorted(p.name for p in paths.marks.iterdir()) if paths.marks.is_dir() else [],
        "links": links.wrong(paths, wanted, who),
        "host_secrets": inputs.secret_hashes(paths, wanted.host_secrets),
        "extension": extension.installed(paths),
        "archives": images.archives(wanted),
        "foreign_folders": folders.foreign(paths, wanted, who),
    }
    answers = {name: finish(process) for name, process in asked.items()}
    text = {name: answer.out for name, answer in answers.items()}
    secrets = podman.parse_secret_times(text.get("secrets", ""))
    ids = {name: key for name, (key, _) in secrets.items()}
    running = _components(list(known.values()), text, paths)
    loaded = "table" in answers and answers["table"].code == 0
    state |= {
        "secrets": ids,
        "secret_times": {name: created for name, (_, created) in secrets.items()},
        **vault.facts(paths, wanted, ids, given or {}),
        "components": running,
        "firewall": _text(paths.inputs(inputs.FIREWALL)) if loaded else None,
        "tls": tls.facts(paths, wanted, ids, tls.addresses_in(text.get("addresses", ""))),
        "broker": broker.facts(paths, wanted, ids),
        "images": images.present(wanted, running, who),
    }
    quiet = [c for c in wanted.components if running[c.unit]["active"] != "active"]
    ours = {c.unit for c in wanted.components}
    return state | {
        "ports": ports.taken([x["port"] for c in quiet for x in c.listens]),
        "stale": [
            {"name": c.name, "kind": c.kind, "unit": unit}
            for unit, c in sorted(known.items())
            if unit not in ours and running[unit]["active"] != "inactive"
        ],
    }


def _ask(wanted: Manifest, known: list[Component], who: Account | None) -> dict[str, Any]:
    """The programs that know what no file tells, all started at once."""
    quadlets = [c for c in known if c.kind == "quadlet"]
    hosted = [c for c in known if c.kind == "host"]
    asked: dict[str, Any] = {}
    if who and Path("/usr/bin/podman").exists():
        if not podman.pause_file(who).exists():
            # The first podman makes the account's user namespace; two at once would trip over each other.
            podman.call(["unshare", "true"], who)
        asked["containers"] = podman.start_inspect(quadlets, who)
        asked["secrets"] = podman.start_secret_times([s["name"] for s in wanted.secrets], who)
        if Path(f"/run/user/{who.uid}/systemd/private").exists():
            asked["user"] = services.start_show([c.unit for c in quadlets], who)
    if Path("/run/systemd/system").is_dir():
        asked["host"] = services.start_show([c.unit for c in hosted], None)
    if wanted.firewall and Path("/usr/sbin/nft").exists():
        asked["table"] = start(["/usr/sbin/nft", "list", "table", "inet", "sensor_pipeline"])
    if Path("/usr/sbin/ip").exists():
        asked["addresses"] = start(tls.ADDRESSES)
    return asked


def _components(known: list[Component], text: dict[str, str], paths: Paths) -> dict[str, Any]:
    """What each component's unit does, and what it runs with, by unit."""
    units = services.parse_show(text.get("user", "")) | services.parse_show(text.get("host", ""))
    containers = podman.parse_inspect(text.get("containers", "[]"))
    found: dict[str, Any] = {}
    for component in known:
        unit = units.get(component.unit, {})
        found[component.unit] = {
            "active": unit.get("ActiveState", "inactive"),
            "sub": unit.get("SubState", ""),
            "enabled": unit.get("UnitFileState", ""),
            "inputs": _text(paths.inputs(component.name)) if component.kind == "host" else None,
            "container": containers.get(component.name) if component.kind == "quadlet" else None,
        }
    return found


def firewall(paths: Paths) -> str | None:
    """The hash of the firewall rules that are loaded, or None."""
    recorded = _text(paths.inputs(inputs.FIREWALL))
    if recorded and run(["nft", "list", "table", "inet", "sensor_pipeline"]).code == 0:
        return recorded
    return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
