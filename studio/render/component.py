"""What a component is to everybody who reads the manifest: its unit, files, image, secrets, listeners, checks."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from studio.bundle import Artifact, Artifacts, files_hash
from studio.model import Studio
from studio.render import quadlet
from studio.render.quadlet import Container


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP port that the component listens on, and no other."""

    address: str
    port: int
    purpose: str


@dataclass(frozen=True, slots=True)
class Component:
    """One service of a studio, as its module describes it.

    `files` are all it puts into the generation (paths relative to the generation's folder). A change of one restarts
    the service, except for those in `live`, which it (or hostctl) takes over while it runs. `secrets` are those that it
    reads as files; `variables` are secrets in its environment, of which podman does not tell which value a running
    container has. `validate` are command lines that judge the files before the switch: run in the component's image
    with its config mount, or, for a package of the host, on the host with `{gen}` for the generation's folder.
    """

    name: str
    order: int
    start_timeout: int
    files: Artifacts
    variables: tuple[str, ...] = ()
    live: frozenset[str] = frozenset()
    container: Container | None = None
    package: str | None = None
    service: str | None = None
    image: str | None = None
    secrets: tuple[str, ...] = ()
    listens: tuple[Listener, ...] = ()
    health_url: str | None = None
    validate: tuple[tuple[str, ...], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        return f"{self.service or self.name}.service"


def everywhere(network: str) -> str:
    """Every address of a network's version of IP; the firewall lets in that network alone."""
    return "::" if ipaddress.ip_network(network).version == 6 else "0.0.0.0"  # noqa: S104 - firewalled


def tls_listeners(studio: Studio) -> tuple[Listener, ...]:
    """The broker's listener for the studio's network."""
    if studio.network is None:
        return ()
    return (Listener(everywhere(studio.network), studio.ports.mqtt_tls, "mqtt-tls"),)


def loopback(port: int, purpose: str) -> Listener:
    return Listener("127.0.0.1", port, purpose)


def _version(image: str) -> str:
    """The tag, or the digest's beginning, of an image reference."""
    reference, _, digest = image.partition("@")
    tag = reference.rpartition("/")[2].partition(":")[2]
    return tag or digest[:19]


def finish(component: Component, studio: str) -> tuple[Artifacts, dict[str, Any]]:
    """All files of a component, its units among them, and its entry in the manifest."""
    inputs: dict[str, Artifact] = {p: a for p, a in component.files.items() if p not in component.live}
    units: dict[str, Artifact] = {}
    if component.container is not None:
        units = {
            f"quadlets/{name}": Artifact.text(text)
            for name, text in quadlet.units(component.container, studio, hash_of="").items()
        }
    digest = files_hash({**inputs, **units})
    if component.container is not None:
        main = quadlet.container_unit(component.container, studio, hash_of=digest)
        units[f"quadlets/{component.name}.container"] = Artifact.text(main)
    entry: dict[str, Any] = {
        "name": component.name,
        "kind": "quadlet" if component.container else "host",
        "unit": component.unit,
        "package": component.package,
        "image": component.image,
        "version": _version(component.image) if component.image else None,
        "stand_in": bool(component.image and "standin" in component.image),
        "stand_in_parts": [],
        "hash": digest,
        "secrets": list(component.secrets),
        "secret_variables": list(component.variables),
        "order": component.order,
        "start_timeout": component.start_timeout,
        "health_url": component.health_url,
        "listens": [{"address": x.address, "port": x.port, "purpose": x.purpose} for x in component.listens],
        "validate": [list(argv) for argv in component.validate],
        "files": sorted([*inputs, *units]),
        "volumes": [],
        **component.facts,
    }
    if component.container is not None:
        entry |= {
            "container": component.name,
            "config": component.container.config,
            "volumes": sorted(component.container.volumes),
        }
    return {**component.files, **units}, entry
