"""Each guest has a control group of its own: two guests in one would take each other's processes for strays."""

import time
from pathlib import Path

from lab.paths import tag
from lab.run import LabError

ROOT = Path("/sys/fs/cgroup")


def hierarchies() -> list[Path]:
    """Where groups are made: the unified hierarchy first, then systemd's old one where the machine still has it."""
    unified = ROOT if (ROOT / "cgroup.controllers").exists() else ROOT / "unified"
    return [unified, *([ROOT / "systemd"] if (ROOT / "systemd").is_dir() else [])]


def group(name: str) -> Path:
    """The host's group in the unified hierarchy."""
    return hierarchies()[0] / f"lab-{tag()}" / name


def make(name: str) -> list[Path]:
    """Make the host's groups; returns their `cgroup.procs` files, which a process writes itself into."""
    files = []
    for root in hierarchies():
        path = root / f"lab-{tag()}" / name
        path.mkdir(parents=True, exist_ok=True)
        files.append(path / "cgroup.procs")
    return files


def kill(name: str, *, timeout: float = 10) -> None:
    """End every process of the host at once and remove its groups."""
    for root in hierarchies():
        top = root / f"lab-{tag()}"
        path = top / name
        if (path / "cgroup.kill").exists():
            (path / "cgroup.kill").write_text("1")
        until = time.monotonic() + timeout
        while path.exists():
            for child in sorted((child for child in path.rglob("*") if child.is_dir()), reverse=True):
                _rmdir(child)
            _rmdir(path)
            if time.monotonic() > until:
                raise LabError(f"processes of the host {name} will not end; see {path}/cgroup.procs")
            time.sleep(0.02)
        _rmdir(top)


def _rmdir(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        return
