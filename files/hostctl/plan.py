"""What a deploy has to do: a pure function of what is wanted (a manifest) and what is there (a probe's answer)."""

from typing import Any, Final, NamedTuple

from hostctl import extension, inputs
from hostctl.manifest import Component, Manifest
from hostctl.preflight import problems, warnings

STEPS: Final = (
    "upload", "packages", "account", "images", "extension", "secrets", "tls", "validate", "switch", "broker", "restart",
    "prune",
)  # fmt: skip


class Restart(NamedTuple):
    """A service that must be restarted (or just started), and why."""

    component: str
    verb: str
    why: str

    def __str__(self) -> str:
        return f"{self.component}: {self.why}"


class Plan(NamedTuple):
    """By step, in order: the reasons why it has something to do. A step without reasons is left out."""

    steps: dict[str, list[str]]
    problems: list[str]
    warnings: list[str]

    @property
    def empty(self) -> bool:
        return not self.steps and not self.problems


def plan(wanted: Manifest, state: dict[str, Any]) -> Plan:
    """The steps that have to do anything.

    Args:
        wanted: the manifest of the generation to be in use.
        state: what `hostctl probe` answered for this manifest.
    """
    reasons = {
        "upload": _upload(wanted, state),
        "packages": [f"{name} is missing" for name in wanted.facts["packages"] if name not in state["packages"]],
        "account": _account(state),
        "images": [f"{name} is missing" for name, there in state["images"].items() if not there],
        "extension": [] if extension.is_right(state["extension"], extension.wanted(wanted)) else ["not in place"],
        "secrets": _secrets(wanted, state),
        "tls": [state["tls"]["needed"]] if state["tls"]["needed"] else [],
        "broker": [state["broker"]["needed"]] if state["broker"]["needed"] else [],
    }
    reasons["restart"] = _restarts(wanted, state, reasons["tls"], reasons["extension"])
    if wanted.generation != state["current"]:
        was = state["current"] or "nothing"
        reasons["validate"] = [] if state["validated"] and not reasons["upload"] else ["not judged yet"]
        reasons["switch"] = [f"{was} is in use"]
        reasons["restart"] = reasons["restart"] or ["every service has to be healthy with the new generation"]
        reasons["prune"] = ["a generation was added"]
    elif state["links"]:
        reasons["switch"] = [f"{path} is wrong" for path in state["links"]]
    steps = {step: reasons[step] for step in STEPS if reasons.get(step)}
    return Plan(steps, problems(wanted, state), warnings(wanted, state))


def _upload(wanted: Manifest, state: dict[str, Any]) -> list[str]:
    if wanted.generation not in state["generations"]:
        return ["it is not on the host"]
    return [f"{path} was changed on the host" for path in state["damaged"]]


def _account(state: dict[str, Any]) -> list[str]:
    account = state["account"]
    if not account["exists"]:
        return [f"there is no {account['name']}"]
    lacks = {
        "it was made by half": bool(account["broken"]),
        "no subordinate user ids": not account["subuid"]["own"],
        "no subordinate group ids": not account["subgid"]["own"],
        "its services would stop at log-out": not account["linger"],
        "its systemd does not run": not account["manager"],
    }
    return [reason for reason, holds in lacks.items() if holds]


def _secrets(wanted: Manifest, state: dict[str, Any]) -> list[str]:
    reasons = [f"{name} has a new value" for name in state["new_secrets"]]
    for secret in wanted.secrets:
        name = secret["name"]
        if secret["origin"] != "tls" and name not in state["secrets"] and name not in state["new_secrets"]:
            reasons.append(f"{name} is missing")
    return reasons + [f"{name} is not as the host's programs read it" for name in state["stale_host_secrets"]]


def _restarts(wanted: Manifest, state: dict[str, Any], tls: list[str], extension_reasons: list[str]) -> list[str]:
    """What is to be restarted: for what the host says now, and for what the steps before will change."""
    found = restarts(wanted, state)
    known = {restart.component for restart in found}
    certificate = [s["name"] for s in wanted.secrets if s["origin"] == "tls"] if tls else []
    renewed = {*state["new_secrets"], *certificate}
    for component in wanted.components:
        due = [name for name in wanted.start_secrets(component) if name in renewed]
        if due:
            why = f"the secret {', '.join(due)} changes"
        elif set(state["damaged"]) & set(component.files):
            why = "its files were changed on the host"
        elif extension_reasons and component.name == wanted.broker:
            why = "its extension changes"
        else:
            continue
        if component.name not in known:
            found.append(Restart(component.name, "restart", why))
    order = [component.name for component in wanted.components]
    found.sort(key=lambda restart: order.index(restart.component))
    return [str(restart) for restart in found] + _unfinished(wanted, state)


def _unfinished(wanted: Manifest, state: dict[str, Any]) -> list[str]:
    reasons = [f"{c['name']}: is no longer wanted" for c in state["stale"]]
    pending = state["pending"]
    if pending and state["current"] == wanted.generation:
        reasons.append("an earlier deploy did not see all services healthy")
    if wanted.firewall and state["firewall"] != inputs.expected_firewall(wanted):
        reasons.append("firewall: its rules are not loaded")
    return reasons


def restarts(wanted: Manifest, state: dict[str, Any]) -> list[Restart]:
    """Exactly the services whose running inputs are not the wanted ones, or that do not run, in starting order."""
    found = (_restart(wanted, component, state) for component in wanted.components)
    return [restart for restart in found if restart]


def _restart(wanted: Manifest, component: Component, state: dict[str, Any]) -> Restart | None:
    running = state["components"].get(component.unit, {})
    name = component.name
    if running.get("active") not in ("active", "activating", "reloading"):
        return Restart(name, "start", "does not run")
    if name in state["marks"]:
        why: str | None = "its files were replaced on the host"
    elif component.kind == "host":
        right = running["inputs"] == inputs.expected(wanted, component, state["host_secrets"])
        why = None if right else "its configuration or a secret of it changed"
    else:
        why = _container(wanted, component, running["container"], state)
    if why:
        return Restart(name, "restart", why)
    if component.kind == "host" and running["enabled"] not in ("enabled", "enabled-runtime"):
        return Restart(name, "start", "does not start at boot")
    return Restart(name, "start", "is still starting") if running["active"] != "active" else None


def _container(
    wanted: Manifest, component: Component, container: dict[str, Any] | None, state: dict[str, Any]
) -> str | None:
    """Why a running container is not the wanted one, or None."""
    if container is None:
        return "runs without a container of ours"
    if container["hash"] != component.hash or container["studio"] != wanted.studio:
        return "its configuration changed"
    rotated = [name for name in component.secrets if _is_rotated(name, container, state)]
    if rotated:
        return f"the secret {', '.join(rotated)} changed"
    return "is not healthy" if container["health"] == "unhealthy" else None


def _is_rotated(name: str, container: dict[str, Any], state: dict[str, Any]) -> bool:
    """Whether a secret got another value after the container was made.

    podman tells the ids of the secrets that a container has as files; of those in its environment it tells nothing.
    """
    if name in container["secrets"]:
        return bool(container["secrets"][name] != state["secrets"].get(name))
    return bool(state["secret_times"].get(name, 0) > container["created"])
