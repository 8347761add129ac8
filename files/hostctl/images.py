"""Container images: which are missing, and getting them: from an archive on the host, from their registry, or built."""

import os
from pathlib import Path
from typing import Any

from hostctl import manifest as manifests
from hostctl import podman
from hostctl.manifest import Component, Manifest
from hostctl.paths import Paths
from hostctl.run import Account

WORK = Path("/var/tmp")  # noqa: S108 - a folder of its own is made in it
PREFIX = "sensor-pipeline-image-"


def archive_name(component: Component) -> str:
    """The archive of its image, or of the image that its image is built on."""
    build = component.facts.get("build")
    return f"{build['archive'] if build else component.name}.tar"


def archive(manifest: Manifest, component: Component) -> Path | None:
    folder = manifest.facts.get("image_archive")
    return Path(folder) / archive_name(component) if folder else None


def archives(manifest: Manifest) -> dict[str, bool]:
    """By component: whether its image's archive is on the host (nothing when images are pulled)."""
    found = {c.name: archive(manifest, c) for c in manifest.quadlets}
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


def get(paths: Paths, manifest: Manifest, name: str, who: Account) -> bool:
    """Get one component's image unless the account has it; returns whether it had to be got."""
    component = manifest.component(name)
    if component.image is None or podman.has_image(component.image, who):
        return False
    build = component.facts.get("build")
    if not build:
        _fetch(component.image, archive(manifest, component), who)
        return True
    if not podman.has_image(build["base"], who):
        _fetch(build["base"], archive(manifest, component), who)
    _build(paths.generation(manifest.generation) / build["context"], component.image, build["base"], who)
    return True


def _fetch(reference: str, source: Path | None, who: Account) -> None:
    if source:
        podman.load_image(source, reference, who)
    else:
        podman.pull_image(reference, who)


def _build(context: Path, reference: str, base: str, who: Account) -> None:
    """Build an image from a generation's own files, in a folder that the account may read."""
    import shutil
    import tarfile
    import tempfile

    for leftover in WORK.glob(f"{PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=WORK) as work:
        with tarfile.open(context) as tar:
            tar.extractall(work, filter="data")
        os.chown(work, who.uid, who.gid)
        podman.build_image(Path(work), reference, base, who)


def prune(paths: Paths, wanted: Manifest, who: Account) -> list[str]:
    """Remove images that were built here for generations that are gone; returns their names."""
    kept = [manifests.load(paths.generation(name)) for name in manifests.names(paths)]
    every = [component for manifest in kept for component in manifest.quadlets]
    built = {c.image for c in every if c.facts.get("build") and c.image}
    repositories = {image.rpartition(":")[0] for image in built}
    gone = [image for image in podman.images(repositories, who) if image not in built]
    for image in gone:
        podman.remove_image(image, who)
    return gone
