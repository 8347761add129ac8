"""Bring the services to what the current generation says; go back to the one before when they do not come up."""

import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field

from hostctl import broker, manifest, services, store, switch
from hostctl.errors import HostError
from hostctl.manifest import Component, Manifest
from hostctl.paths import Paths
from hostctl.plan import Restart, restarts
from hostctl.probe import probe
from hostctl.run import Account, finish, need_account

Say = Callable[[str], None]


@dataclass
class Unhealthy(Exception):
    """Services that did not come up: by name, what systemd says of them and the last lines they wrote."""

    said: dict[str, str]
    lines: dict[str, list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = []
        for name, said in self.said.items():
            parts.append(f"{name} is {said}")
            parts += [f"    {line}" for line in self.lines.get(name, [])]
        return "\n".join(parts)


def bring_up(paths: Paths, wanted: Manifest, say: Say) -> list[Restart]:
    """Restart exactly what does not run as `wanted` says, and return when all of it is healthy.

    Containers start together, as their After= allows; then the host's services, one by one (monit is the last).

    Raises:
        Unhealthy: at least one did not become healthy within its own limit.
    """
    who = need_account(wanted.user)
    gone = switch.remove_stale(paths, wanted, who)
    todo = restarts(wanted, probe(wanted, paths))
    since = time.time() - 1
    if todo or gone:
        services.reload(who)
        services.reload(None)
    for restart in todo:
        say(f"{restart.verb} {restart}")
    verbs = {r.component: r.verb for r in todo}
    _together([c for c in wanted.quadlets if c.name in verbs], verbs, who)
    bad = services.failed_units(wanted.quadlets, who)
    for component in [] if bad else wanted.host_services:
        if component.name in verbs:
            finish(services.begin(verbs[component.name], [component], None), timeout=component.start_timeout + 30)
        bad |= services.failed_units([component], None)
        if component.name in verbs and component.name not in bad and not _answers(component):
            bad[component.name] = f"not answering at {component.health_url}"
    if bad:
        lines = {name: services.journal(wanted.component(name).unit, since) for name in bad}
        raise Unhealthy(bad, lines)
    for restart in todo:
        store.remove(paths.marks / restart.component)
    switch.firewall(paths, wanted)
    return todo


def _together(components: list[Component], verbs: dict[str, str], who: Account) -> None:
    started: list[subprocess.Popen[bytes]] = []
    for verb in ("restart", "start"):
        batch = [c for c in components if verbs[c.name] == verb]
        if batch:
            started.append(services.begin(verb, batch, who))
    # Each unit has its own limit in systemd (TimeoutStartSec); this one is only there for a systemd that hangs.
    limit = max((c.start_timeout for c in components), default=0) * 2 + 120
    for process in started:
        finish(process, timeout=limit)


def _answers(component: Component) -> bool:
    """Whether a host service's health URL answers within its limit (a package's unit says nothing of its readiness)."""
    if component.health_url is None:
        return True
    until = time.monotonic() + component.start_timeout
    while True:
        try:
            with urllib.request.urlopen(component.health_url, timeout=5) as answer:  # noqa: S310 - from the manifest
                return bool(answer.status < 400)
        except OSError:
            if time.monotonic() > until:
                return False
            time.sleep(0.2)


def apply(paths: Paths, say: Say) -> list[Restart]:
    """Bring the current generation up and settle it, or go back to the one before and fail saying why."""
    wanted = manifest.current(paths)
    began = time.monotonic()
    try:
        done = bring_up(paths, wanted, say)
    except Unhealthy as error:
        raise HostError(_back(paths, wanted, error, began, say)) from error
    settle(paths)
    store.remove(paths.failed)
    return done


def settle(paths: Paths) -> None:
    """All services were seen healthy: there is nothing to go back from."""
    store.remove(paths.pending)


def _back(paths: Paths, wanted: Manifest, error: Unhealthy, began: float, say: Say) -> str:
    """Undo the last switch; returns what to tell."""
    told = f"generation {wanted.generation} did not come up:\n{error}"
    target = (store.read_json(paths.pending) or {}).get("from")
    if not target or target == wanted.generation or target not in manifest.names(paths):
        return f"{told}\nThere is no generation to go back to; systemd keeps trying. Correct it, then deploy again."
    at = time.strftime("%Y-%m-%d %H:%M:%S")
    why = "; ".join(f"{name} is {said}" for name, said in error.said.items())
    store.write_json(paths.failed, {"generation": wanted.generation, "at": at, "why": why})
    say(f"{why}: going back to generation {target}")
    try:
        switch.switch(paths, target, back=True)
        old = manifest.current(paths)
        broker.ensure(paths, old, need_account(old.user))
        bring_up(paths, old, say)
    except Unhealthy as again:
        return f"{told}\nGeneration {target} is in use again, but it did not come up either:\n{again}"
    settle(paths)
    seconds = time.monotonic() - began
    return f"{told}\nGeneration {target} is in use again and healthy ({seconds:.0f} s after the attempt began)."


def one(paths: Paths, name: str, verb: str = "restart") -> None:
    """Restart one component as it is and wait until it is healthy (for monit and for people).

    Args:
        verb: `start` leaves one alone that is active already, by whomever it was started.
    """
    wanted = manifest.current(paths)
    component = wanted.component(name)
    who = need_account(wanted.user) if component.kind == "quadlet" else None
    since = time.time() - 1
    finish(services.begin(verb, [component], who), timeout=component.start_timeout + 60)
    bad = services.failed_units([component], who)
    if bad:
        raise HostError(str(Unhealthy(bad, {component.name: services.journal(component.unit, since)})))
