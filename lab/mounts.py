"""A guest's root: the shared base below, the host's own changes above, and read-only views of what was built."""

import ctypes
import os
from pathlib import Path

from lab import paths, state

MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096
# rootless podman cannot put its own overlay on an overlay: these are plain folders
PLAIN = ("home", "var/lib/containers", "var/tmp")


def assemble(host: state.HostState) -> Path:
    """Mount the host's root in this process's mount namespace and return where it is.

    `hosts/NAME/upper` has what differs from the base, `hosts/NAME/plain` the folders that no overlay may be under.
    """
    folder = state.folder(host.name)
    root = folder / "root"
    for name in ("upper", "work", "root"):
        (folder / name).mkdir(exist_ok=True)
    options = f"lowerdir={host.base},upperdir={folder / 'upper'},workdir={folder / 'work'}"
    _mount("overlay", root, "overlay", 0, options)
    for name in PLAIN:
        _bind(plain_folder(folder, name), root / name)
    for source, target in views(host).items():
        _bind(source, root / target, read_only=True)
    for hidden in (paths.REPO / ".lab", paths.REPO / ".venv"):
        if hidden.is_dir():
            _mount("tmpfs", root / "opt/sensor-pipeline" / hidden.name, "tmpfs", MS_RDONLY, "size=4k")
    return root


def plain_folder(folder: Path, name: str) -> Path:
    """Where a host's folder of this name really is."""
    return folder / "plain" / name.replace("/", "-")


def views(host: state.HostState) -> dict[Path, str]:
    """What of the outer machine the guest can read: outer path to guest path."""
    seen = {paths.REPO: "opt/sensor-pipeline", Path(host.venv): "opt/venv"}
    for source in (paths.images_dir(), paths.archive_dir()):
        if source.is_dir():
            seen[source] = f"var/lib/lab/{source.name}"
    return seen


def _bind(source: Path, target: Path, *, read_only: bool = False) -> None:
    target.mkdir(parents=True, exist_ok=True)
    _mount(str(source), target, "", MS_BIND)
    if read_only:
        _mount("", target, "", MS_BIND | MS_REMOUNT | MS_RDONLY)


def _mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), str(target).encode(), kind.encode(), flags, options.encode() or None):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot mount {source or kind} at {target}: {os.strerror(number)}")
