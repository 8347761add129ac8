"""What a generation says of itself (manifest.json), as typed values."""

import re
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from hostctl import store
from hostctl.errors import BAD_INPUT, HostError
from hostctl.paths import Paths

NAME: Final = "manifest.json"
FORMAT: Final = 1
GENERATION: Final = re.compile(r"[0-9a-f]{16}")
SECRET_PREFIX: Final = "sensor-pipeline-"  # noqa: S105 - a name, no secret


class Component(NamedTuple):
    """One service of the studio: a container of the studio's account (quadlet), or a package's service (host)."""

    facts: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.facts["name"])

    @property
    def kind(self) -> Literal["quadlet", "host"]:
        return "host" if self.facts["kind"] == "host" else "quadlet"

    @property
    def unit(self) -> str:
        return str(self.facts["unit"])

    @property
    def hash(self) -> str:
        return str(self.facts["hash"])

    @property
    def image(self) -> str | None:
        return self.facts.get("image")

    @property
    def container(self) -> str:
        return str(self.facts.get("container") or f"systemd-{self.unit.removesuffix('.service')}")

    @property
    def secrets(self) -> list[str]:
        return list(self.facts.get("secrets", []))

    @property
    def files(self) -> list[str]:
        return list(self.facts["files"])

    @property
    def start_timeout(self) -> int:
        return int(self.facts.get("start_timeout", 90))

    @property
    def health_url(self) -> str | None:
        return self.facts.get("health_url")

    @property
    def listens(self) -> list[dict[str, Any]]:
        return list(self.facts.get("listens", []))

    @property
    def validate(self) -> list[list[str]]:
        return list(self.facts.get("validate", []))


class Manifest:
    """A generation's manifest: `facts` is its whole content."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts

    @property
    def studio(self) -> str:
        return str(self.facts["studio"])

    @property
    def generation(self) -> str:
        return str(self.facts["generation"])

    @property
    def user(self) -> str:
        return str(self.facts["user"])

    @property
    def broker(self) -> str:
        return str(self.facts["broker"])

    @cached_property
    def components(self) -> list[Component]:
        """In the order in which they start."""
        return [Component(c) for c in sorted(self.facts["components"], key=lambda c: c.get("order", 0))]

    @property
    def quadlets(self) -> list[Component]:
        return [c for c in self.components if c.kind == "quadlet"]

    @property
    def host_services(self) -> list[Component]:
        return [c for c in self.components if c.kind == "host"]

    def component(self, name: str) -> Component:
        for component in self.components:
            if name in (component.name, component.unit, component.unit.removesuffix(".service")):
                return component
        names = ", ".join(c.name for c in self.components)
        raise HostError(f"{self.studio} has no component {name!r}; it has: {names}", BAD_INPUT)

    @property
    def has_hub(self) -> bool:
        return any(c.name == "hub" for c in self.components)

    @property
    def secrets(self) -> list[dict[str, Any]]:
        return list(self.facts["secrets"])

    def secret(self, name: str) -> dict[str, Any]:
        for secret in self.secrets:
            if secret["name"] == name:
                return secret
        names = ", ".join(s["name"] for s in self.secrets)
        raise HostError(f"{self.studio} has no secret {name!r}; it has: {names}", BAD_INPUT)

    @property
    def host_secrets(self) -> list[str]:
        """Secrets that a program on the host itself reads, from a file only root may read."""
        hosted = {c.name for c in self.host_services}
        consumed = {s["name"] for s in self.secrets if hosted & set(s.get("consumers", []))}
        return sorted(consumed | {name for c in self.host_services for name in c.secrets})

    def start_secrets(self, component: Component) -> list[str]:
        """The secrets a service reads when it starts, so that a new value needs a restart.

        A program on the host reads the password of its broker account each time it connects.
        """
        if component.kind == "quadlet":
            return component.secrets
        accounts = {u["secret"] for u in self.facts.get("broker_users", [])}
        return [name for name in component.secrets if name not in accounts]

    @property
    def files(self) -> dict[str, dict[str, str]]:
        return dict(self.facts["files"])

    @cached_property
    def drop_ins(self) -> list[str]:
        """Files of the generation that belong below /etc/systemd/system, as paths relative to its folder systemd/."""
        return sorted(path.removeprefix("systemd/") for path in self.files if path.startswith("systemd/"))

    @cached_property
    def firewall(self) -> str | None:
        """The nftables rules of the generation, if it has some."""
        return next((path for path in sorted(self.files) if path.startswith("nftables/")), None)


def load(folder: Path) -> Manifest:
    """The manifest of a generation's folder; a HostError when there is none that this hostctl understands."""
    facts = store.read_json(folder / NAME)
    if not isinstance(facts, dict):
        raise HostError(f"{folder / NAME} is missing or damaged: run the deploy again")
    return parse(facts)


def parse(facts: dict[str, Any]) -> Manifest:
    if facts.get("format") != FORMAT:
        raise HostError(
            f"the manifest's format is {facts.get('format')!r}, this hostctl understands {FORMAT}", BAD_INPUT
        )
    return Manifest(facts)


def current(paths: Paths) -> Manifest:
    """The manifest of the generation in use."""
    if not paths.current.is_symlink():
        raise HostError("nothing is deployed on this host yet: run the deploy first")
    return load(paths.current)


def current_name(paths: Paths) -> str | None:
    return paths.current.readlink().name if paths.current.is_symlink() else None


def names(paths: Paths) -> list[str]:
    """The generations on this host, oldest first."""
    if not paths.generations.is_dir():
        return []
    found = [p for p in paths.generations.iterdir() if GENERATION.fullmatch(p.name) and (p / NAME).is_file()]
    return [p.name for p in sorted(found, key=lambda p: (p.stat().st_mtime, p.name))]


def known_components(paths: Paths) -> dict[str, Component]:
    """Every component that a generation on this host has, by its unit: what may still be running here."""
    known: dict[str, Component] = {}
    for name in names(paths):
        for component in load(paths.generation(name)).components:
            known[component.unit] = component
    return known
