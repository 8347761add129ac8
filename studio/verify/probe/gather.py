"""Everything at once, as one JSON object; what cannot be found out says why instead."""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import broker, files, leaks, shell, system, tls

PREFIX = "sensor-pipeline-"


def secret_values(names: list[str], user: str) -> dict[str, bytes]:
    """The values of the studio's secrets, for this process alone."""
    _, out = shell.run(["podman", "secret", "inspect", "--showsecret", *(PREFIX + name for name in names)], user)
    start = out.find("[\n")
    try:
        listed = json.loads(out[start : out.rfind("]") + 1])
    except ValueError:
        return {}
    return {s["Spec"]["Name"].removeprefix(PREFIX): str(s["SecretData"]).encode() for s in listed}


def may_have(variables: dict[str, list[str]], containers: dict[str, Any]) -> dict[str, list[int]]:
    """The processes that may have a secret in their environment: all those of the container that is given it so."""
    found: dict[str, list[int]] = {}
    for name, secrets in variables.items():
        _, out = shell.run(["podman", "top", name, "hpid"], containers["user"])
        pids = [int(word) for word in out.split() if word.isdigit()]
        for secret in secrets:
            found.setdefault(secret, []).extend(pids)
    return found


def urls(wanted: dict[str, str], tokens: dict[str, str], values: dict[str, bytes]) -> dict[str, Any]:
    """What each URL answers; those that `tokens` names are asked with that secret, and what they say stays here."""
    told = {name: shell.fetch(url, values.get(tokens.get(name, ""))) for name, url in wanted.items()}
    return told | {name: {"status": told[name]["status"], "text": "", "json": None} for name in tokens}


def gather(question: dict[str, Any]) -> dict[str, Any]:
    """The facts about this host that the question asks for."""
    user, names = question["user"], question["containers"]
    account = system.account(user)
    if not account["exists"]:
        return {"account": account, "packages": system.packages(question["packages"]), "tree": files.tree(None, [])}
    values = secret_values(question["secrets"], user)
    allowed = may_have(question["secret_variables"], {"user": user})
    parts: dict[str, Callable[[], Any]] = {
        "packages": lambda: system.packages(question["packages"]),
        "user_units": lambda: system.units([f"{n}.service" for n in names], user),
        "host_units": lambda: system.units(question["host_units"], None),
        "containers": lambda: system.containers(names, user),
        "listeners": system.listeners,
        "firewall": lambda: system.firewall(question["firewall_unit"]),
        "monit": system.monit,
        "tree": lambda: files.tree(account["uid"], question["folders"]),
        "manifest": files.manifest,
        "broker": lambda: broker.ask(question["mqtt_port"], question["accounts"], values, question["canary"]),
        "tls": lambda: {purpose: tls.ask(**about) for purpose, about in question["tls"].items()},
        "urls": lambda: urls(question["urls"], question["tokens"], values),
        "status": lambda: shell.run(["/var/lib/sensor-pipeline/current/bin/hostctl", "status", "--json"]),
    }
    told: dict[str, Any] = {"account": account}
    began = time.monotonic()
    seconds = told["seconds"] = {}
    with ThreadPoolExecutor(len(parts)) as pool:
        running = {name: pool.submit(part) for name, part in parts.items()}
        for name, future in running.items():
            try:
                told[name] = future.result()
                seconds[name] = time.monotonic() - began
            except Exception as error:
                told[name] = None
                told.setdefault("errors", {})[name] = f"{type(error).__name__}: {error}"
    # Last and alone: what runs for the other facts would be found among the processes.
    told["leaks"] = leaks.leaks(values, allowed, user, names)
    told["secrets_present"] = sorted(values)
    seconds["leaks"] = time.monotonic() - began
    told["now"] = time.time()
    return told


def main() -> None:
    """Answer the question in the first argument."""
    json.dump(gather(json.loads(sys.argv[1])), sys.stdout)
