"""Can a host be booted on this machine? If not, why, in one sentence."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lab import paths
from lab.cgroup import hierarchies
from lab.debian import BOOT_NEEDS
from lab.run import run

UNFIT = {"overlayfs", "nfs", "fuseblk", "v9fs"}


def why_not() -> str | None:
    """The reason why no host can be booted here, as a sentence for a person; None when it can."""
    return next((reason for reason in _reasons() if reason), None)


def _reasons() -> Iterator[str | None]:
    """Each condition in turn, the later ones only when the earlier ones hold."""
    yield None if sys.platform == "linux" else "this is not Linux"
    yield None if os.geteuid() == 0 else "it needs root (network namespaces, mounts, systemd-nspawn); try it with sudo"
    missing = [command for command in BOOT_NEEDS if shutil.which(command) is None]
    if missing and shutil.which("apt-get") is None:
        yield f"{', '.join(missing)} is missing and there is no apt-get to install it with"
    if "overlay" not in Path("/proc/filesystems").read_text() and not _works(["modprobe", "overlay"]):
        yield "this kernel has no overlay file system"
    if not _works(["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "true"]):
        yield "this machine lets nobody make namespaces (is it a container without the rights to?)"
    if not (hierarchies()[0] / "cgroup.procs").exists():
        yield "this machine has no unified control groups (cgroup2) under /sys/fs/cgroup"
    folder = paths.lab_dir()
    folder.mkdir(parents=True, exist_ok=True)
    kind = run(["stat", "--file-system", "--format=%T", folder]).strip()
    if kind in UNFIT:
        yield f"{folder} is on {kind}, over which no host's root can be laid; set LAB_DIR to a folder on a real disk"


def _works(argv: list[str]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
