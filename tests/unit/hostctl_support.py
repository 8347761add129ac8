"""A small studio's manifest, and the answer of a host on which just that is deployed."""

import copy
import hashlib
import json
from typing import Any

from hostctl import inputs, store
from hostctl.manifest import Manifest

FILES = {
    "vector/vector.yaml": b"sources: {}\n",
    "quadlets/vector.container": b"[Container]\n",
    "hivemq/config.xml": b"<hivemq/>\n",
    "hivemq/file-rbac/config.xml": b"<extension-configuration/>\n",
    "hivemq/file-rbac/roles.json": json.dumps(
        {"roles": [{"id": "vector", "permissions": [{"topic": "furnace/+/telemetry", "activity": "SUBSCRIBE"}]}]}
    ).encode(),
    "monit/monitrc": b"set daemon 10\n",
    "nftables/sensor-pipeline.nft": b"table inet sensor_pipeline {}\n",
    "systemd/monit.service.d/sensor-pipeline.conf": b"[Service]\n",
}


def component(name: str, order: int, **facts: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "quadlet",
        "unit": f"{name}.service",
        "container": name,
        "config": f"/etc/{name}",
        "package": None,
        "image": f"localhost/{name}:1",
        "version": "1",
        "stand_in": False,
        "hash": store.short_hash(name),
        "secrets": [],
        "order": order,
        "start_timeout": 30,
        "health_url": None,
        "listens": [],
        "validate": [],
        "files": [path for path in FILES if path.startswith((f"{name}/", f"quadlets/{name}."))],
        **facts,
    }


def facts(**changes: Any) -> dict[str, Any]:
    """A manifest's content, with its generation's name as it must be."""
    content: dict[str, Any] = {
        "format": 1,
        "studio": "test",
        "user": "studio",
        "broker": "hivemq",
        "components": [
            component(
                "hivemq",
                20,
                secrets=["tls-keystore", "tls-keystore-password"],
                listens=[{"address": "127.0.0.1", "port": 1883, "purpose": "mqtt"}],
            ),
            component("vector", 30, secrets=["broker-vector"]),
            component(
                "monit", 90, kind="host", package="monit", image=None, secrets=["broker-monit", "mmonit-password"]
            ),
        ],
        "secrets": [
            {"name": "broker-monit", "origin": "generated", "required": True, "consumers": ["monit"]},
            {"name": "broker-vector", "origin": "generated", "required": True, "consumers": ["vector"]},
            {"name": "mmonit-password", "origin": "user", "required": True, "consumers": ["monit"]},
            {"name": "tls-keystore", "origin": "tls", "required": True, "consumers": ["hivemq"]},
            {"name": "tls-keystore-password", "origin": "generated", "required": True, "consumers": ["hivemq"]},
        ],
        "broker_users": [
            {"name": "vector", "secret": "broker-vector", "role": "vector"},
            {"name": "monit", "secret": "broker-monit", "role": "monit"},
        ],
        "packages": ["podman", "monit"],
        "image_archive": None,
        "extension": {"url": "https://example.org/e.zip", "sha256": None},
        "tls": {"cn": "test.local", "san": []},
        "furnaces": [],
        "files": {p: {"sha256": hashlib.sha256(c).hexdigest(), "mode": "0644"} for p, c in sorted(FILES.items())},
        **changes,
    }
    content.pop("generation", None)
    return {**content, "generation": store.short_hash(content)}


def manifest(**changes: Any) -> Manifest:
    return Manifest(facts(**changes))


def changed_component(name: str, **changes: Any) -> Manifest:
    """The manifest with one component described otherwise."""
    content = copy.deepcopy(facts())
    for entry in content["components"]:
        if entry["name"] == name:
            entry.update(changes)
    return manifest(components=content["components"])


def running(wanted: Manifest) -> dict[str, Any]:
    """The answer of a healthy host that runs just this manifest."""
    ids = {s["name"]: f"id-of-{s['name']}" for s in wanted.secrets}
    hashes: dict[str, str | None] = {name: f"hash-of-{name}" for name in wanted.host_secrets}
    state: dict[str, Any] = {
        "os": {"ID": "debian", "VERSION_ID": "13", "PRETTY_NAME": "Debian 13", "VERSION_CODENAME": "trixie"},
        "architecture": "x86_64",
        "systemd": True,
        "cgroup2": True,
        "memory_mb": 4000,
        "disk_free_mb": 20000,
        "account": {
            "name": "studio",
            "exists": True,
            "uid": 1001,
            "subuid": {"own": [[165536, 65536]], "others": [[100000, 65536]]},
            "subgid": {"own": [[165536, 65536]], "others": [[100000, 65536]]},
            "broken": [],
            "linger": True,
            "manager": True,
        },
        "packages": {"podman": "5.4.2+ds1-2", "monit": "1:5.34.3-1"},
        "current": wanted.generation,
        "generations": [wanted.generation],
        "validated": True,
        "damaged": [],
        "pending": None,
        "failed": None,
        "marks": [],
        "links": [],
        "host_secrets": hashes,
        "extension": {"url": "https://example.org/e.zip", "sha256": "ab"},
        "archives": {},
        "foreign_folders": [],
        "images": {c.name: True for c in wanted.quadlets},
        "components": {},
        "secrets": ids,
        "secret_times": dict.fromkeys(ids, 1000.0),
        "given": [],
        "new_secrets": [],
        "unset_secrets": [],
        "stale_host_secrets": [],
        "tls": {"needed": None, "not_after": 2e9},
        "broker": {"needed": None},
        "firewall": inputs.expected_firewall(wanted),
        "ports": [],
        "stale": [],
    }
    for c in wanted.components:
        on_host = c.kind == "host"
        container = {
            "hash": c.hash,
            "studio": wanted.studio,
            "secrets": {name: ids[name] for name in c.secrets if name != "tls-keystore-password"},
            "health": "healthy",
            "image": c.image,
            "pid": 1,
            "created": 2000.0,
        }
        state["components"][c.unit] = {
            "active": "active",
            "sub": "running",
            "enabled": "enabled" if on_host else "generated",
            "inputs": inputs.expected(wanted, c, hashes) if on_host else None,
            "container": None if on_host else container,
        }
    return state


def bare(wanted: Manifest) -> dict[str, Any]:
    """The answer of a fresh Debian 13 on which nothing was ever deployed."""
    nothing = {"own": [], "others": []}
    return {
        **running(wanted),
        "account": {
            "name": "studio", "exists": False, "uid": None, "subuid": nothing, "subgid": nothing,
            "broken": [], "linger": False, "manager": False,
        },
        "packages": {},
        "current": None,
        "generations": [],
        "validated": False,
        "host_secrets": dict.fromkeys(wanted.host_secrets),
        "extension": None,
        "images": {c.name: False for c in wanted.quadlets},
        "components": {
            c.unit: {"active": "inactive", "sub": "dead", "enabled": "", "inputs": None, "container": None}
            for c in wanted.components
        },
        "secrets": {},
        "secret_times": {},
        "given": ["mmonit-password"],
        "new_secrets": ["mmonit-password"],
        "stale_host_secrets": list(wanted.host_secrets),
        "tls": {"needed": "there is no certificate yet", "not_after": None},
        "broker": {"needed": "there are none yet"},
        "firewall": None,
        "links": ["/etc/containers/systemd/users/1001/sensor-pipeline"],
    }  # fmt: skip
