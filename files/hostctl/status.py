"""What runs on this host, as JSON for programs and as a few lines for people."""

import os
from pathlib import Path
from typing import Any

from hostctl import additions, manifest, services, store, switch
from hostctl.paths import Paths
from hostctl.plan import plan
from hostctl.probe import probe
from hostctl.run import account


def status(paths: Paths) -> dict[str, Any]:
    """The current generation, its components as they run, the generations kept, and what is unfinished."""
    wanted = manifest.current(paths)
    state = probe(wanted, paths)
    who = account(wanted.user)
    units = services.show([c.unit for c in wanted.quadlets], who) if who else {}
    units |= services.show([c.unit for c in wanted.host_services], None)
    components = []
    for c in wanted.components:
        unit = units.get(c.unit, {})
        container = (state["components"].get(c.unit) or {}).get("container") or {}
        active = unit.get("ActiveState", "unknown")
        components.append(
            {
                "name": c.name,
                "kind": c.kind,
                "unit": c.unit,
                "state": active,
                "health": container.get("health") or ("healthy" if active == "active" else active),
                "version": c.facts.get("version") or state["packages"].get(c.facts.get("package")),
                "image": c.image,
                "stand_in": bool(c.facts.get("stand_in")),
                "stand_in_parts": c.facts.get("stand_in_parts", []),
                "memory_bytes": _memory(unit, container.get("pid") or int(unit.get("MainPID") or 0)),
                "since": unit.get("ActiveEnterTimestamp", "").removeprefix("@") or None,
                "restarts": int(unit.get("NRestarts") or 0),
                "pid": container.get("pid") or int(unit.get("MainPID") or 0),
                "hash_wanted": c.hash,
                "hash_running": container.get("hash"),
            }
        )
    todo = plan(wanted, state)
    when = {e["generation"]: e["at"] for e in switch.history(paths)}
    return {
        "studio": wanted.studio,
        "generation": wanted.generation,
        "previous": switch.previous(paths),
        "generations": [
            {"id": name, "at": when.get(name), "current": name == wanted.generation} for name in manifest.names(paths)
        ],
        "pending": store.read_json(paths.pending),
        "failed": store.read_json(paths.failed),
        "components": components,
        "secrets": secrets(wanted, state),
        "certificate_ends": state["tls"]["not_after"],
        "provisioned": additions.status(paths) if wanted.has_hub else None,
        "out_of_date": todo.steps,
        "problems": todo.problems,
        "warnings": todo.warnings,
    }


def _memory(unit: dict[str, str], pid: int) -> int | None:
    """What a service uses: its control group's memory, or (where there is no such controller) its process's."""
    told = unit.get("MemoryCurrent", "")
    if told.isdigit():
        return int(told)
    try:
        return int(Path("/proc", str(pid), "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def secrets(wanted: manifest.Manifest, state: dict[str, Any]) -> list[dict[str, Any]]:
    """Every secret, never its value."""
    return [
        {
            "name": s["name"],
            "origin": s["origin"],
            "consumers": s.get("consumers", []),
            "present": s["name"] in state["secrets"],
            "set": s["name"] in state["secrets"] and s["name"] not in state["unset_secrets"],
        }
        for s in wanted.secrets
    ]


def _stand_in(component: dict[str, Any]) -> str:
    parts = ["stand-in"] if component["stand_in"] else [f"{p}: stand-in" for p in component["stand_in_parts"]]
    return f"  {', '.join(parts)}" if parts else ""


def lines(told: dict[str, Any]) -> list[str]:
    """The status for people."""
    head = f"{told['studio']}: generation {told['generation']}"
    rows = [
        f"  {c['name']:<16} {c['state']:<10} {c['health']:<10} {c['version'] or '':<12}"
        f" {(c['memory_bytes'] or 0) / 2**20:6.0f} MB{_stand_in(c)}"
        for c in told["components"]
    ]
    provisioned = told["provisioned"] or {"refused": None}
    refused = [f"  accounts that the hub added are refused: {provisioned['refused']}"] if provisioned["refused"] else []
    todo = [f"  out of date: {step}: {reason}" for step, reasons in told["out_of_date"].items() for reason in reasons]
    return [head, *rows, *refused, *todo, *(f"  warning: {w}" for w in told["warnings"])]
