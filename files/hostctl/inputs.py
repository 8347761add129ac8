"""What a service was started with, so that what it should have been started with can be compared.

A container says it by its label `sensor-pipeline.hash` and the ids of its secrets. A package's service says it by a
file in /run that its ExecStartPre writes (`hostctl record-inputs`), gone after a reboot as the process is.
"""

from hostctl import store
from hostctl.manifest import Component, Manifest, current
from hostctl.paths import Paths

FIREWALL = "firewall"


def expected(manifest: Manifest, component: Component, secret_hashes: dict[str, str | None]) -> str:
    """The hash of a host service's inputs: its files, and the files of the secrets it reads (by name)."""
    return store.short_hash(
        [component.hash, {name: secret_hashes.get(name) for name in manifest.start_secrets(component)}]
    )


def expected_firewall(manifest: Manifest) -> str | None:
    return manifest.files[manifest.firewall]["sha256"] if manifest.firewall else None


def secret_hashes(paths: Paths, names: list[str]) -> dict[str, str | None]:
    return {name: store.sha256(paths.secrets / name) for name in names}


def record(paths: Paths, service: str) -> None:
    """Note what a host service (a component's name, or `firewall`) is about to be started with."""
    manifest = current(paths)
    if service == FIREWALL:
        value = expected_firewall(manifest) or ""
        name = FIREWALL
    else:
        component = manifest.component(service)
        value = expected(manifest, component, secret_hashes(paths, component.secrets))
        name = component.name
    store.make_folder(paths.run)
    store.write(paths.inputs(name), value.encode())
