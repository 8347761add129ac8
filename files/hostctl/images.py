"""Container images: which are missing, and getting them from an archive on the host or from their registry."""

from pathlib import Path
from typing import Any

from hostctl import podman
from hostctl.manifest import Manifest
from hostctl.run import Account


def archive(manifest: Manifest, component: str) -> Path | None:
    folder = manifest.facts.get("image_archive")
    return Path(folder) / f"{component}.tar" if folder else None


def archives(manifest: Manifest) -> dict[str, bool]:
    """By component: whether its image's archive is on the host (nothing when images are pulled)."""
    found = {c.name: archive(manifest, c.name) for c in manifest.quadlets}
    return {name: path.is_file() for name, path in found.items() if path}


def present(manifest: Manifest, running: dict[str, Any], who: Account | None) -> dict[str, bool]:
    """By component: whether the account has its image; what a container runs from is there."""
    found: dict[str, bool] = {}
    for component in manifest.quadlets:
        container = running.get(component.unit, {}).get("container") or {}
        is_running = container.get("image") == component.image
        found[component.name] = is_running or bool(
            who and Path("/usr/bin/podman").exists() and component.image and podman.has_image(component.image, who)
        )
    return found


def get(manifest: Manifest, name: str, who: Account) -> bool:
    """Get one component's image unless the account has it; returns whether it had to be got."""
    component = manifest.component(name)
    if component.image is None or podman.has_image(component.image, who):
        return False
    source = archive(manifest, component.name)
    if source:
        podman.load_image(source, component.image, who)
    else:
        podman.pull_image(component.image, who)
    return True
