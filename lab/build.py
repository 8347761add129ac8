"""Everything that is built once and shared by all hosts."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lab import debian, paths
from lab.base import build_base
from lab.cache import prune, prune_unfinished
from lab.catalogue import IMAGES
from lab.hivemq import build_file_rbac
from lab.images import build_images, debian_layer
from lab.python_env import build_venv, build_wheels
from lab.run import locked


@dataclass(frozen=True)
class GuestParts:
    """What a host is made of: the bare root, and the project's Python environment for it."""

    base: Path
    venv: Path


def guest_parts() -> GuestParts:
    """Build (or find) what every host needs."""
    debian.install_needs()
    base = build_base()
    return GuestParts(base=base, venv=build_venv(base))


def build_all() -> None:
    """Build (or find) everything, two things at a time, and remove what nothing uses any more."""
    with locked(paths.lab_dir() / "locks" / ".build"):
        _build_all()


def _build_all() -> None:
    debian.install_needs()
    package_sets = {image.packages for image in IMAGES.values()}
    with ThreadPoolExecutor(2) as pool:
        guest = pool.submit(guest_parts)
        slow = [
            pool.submit(build_file_rbac),
            *(pool.submit(debian_layer, packages) for packages in sorted(package_sets)),
        ]
        for work in slow:
            work.result()
        parts = guest.result()
    build_images(parts.base)
    in_use = [Path(path) for path in layers_in_use()]
    prune("base", [parts.base, *in_use])
    prune("venv", [parts.venv, *in_use])
    prune("wheels", [build_wheels(parts.base)])
    prune_unfinished()


def layers_in_use() -> list[str]:
    """The bases and environments that hosts and snapshots are made of."""
    files = [*paths.hosts_dir().glob("*/state.json"), *paths.snapshots_dir().glob("*/snapshot.json")]
    known = [json.loads(file.read_text()) for file in files]
    return [found for host in known for found in (host.get("base"), host.get("venv")) if found]
