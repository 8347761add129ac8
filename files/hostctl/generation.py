"""Generations on the host: put there whole, verified against their own manifest, thrown away when old."""

import contextlib
import os
from pathlib import Path

from hostctl import manifest as manifests
from hostctl import store
from hostctl.errors import HostError
from hostctl.manifest import Manifest
from hostctl.paths import KEPT_GENERATIONS, Paths


def install(paths: Paths, archive: bytes) -> str:
    """Unpack an archive of one generation, verify it, and give it its name by rename; returns the name.

    Files of a generation that were changed on the host are put right again, and the components they belong to are
    marked for a restart, since they may have been started with the changed ones.
    """
    import io
    import tarfile
    import tempfile

    store.make_folder(paths.base)
    store.make_folder(paths.generations)
    store.make_folder(paths.state)
    store.make_folder(paths.secrets, 0o700)
    clean(paths)
    staged = Path(tempfile.mkdtemp(prefix=".incoming-", dir=paths.generations))
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            tar.extractall(staged, filter="data")
        for folder, _, _ in os.walk(staged):
            Path(folder).chmod(0o755)
        wanted = manifests.load(staged)
        verify(staged, wanted)
        os.sync()
        target = paths.generation(wanted.generation)
        if target.exists():
            _mark_damaged(paths, wanted, differing(target, wanted))
            target.rename(paths.generations / f".replaced-{os.getpid()}")
        staged.rename(target)
        store.sync_folder(paths.generations)
    finally:
        _remove(staged)
    clean(paths)
    return wanted.generation


def verify(folder: Path, wanted: Manifest) -> None:
    """Refuse a folder that is not exactly what its manifest says, or whose name is not the hash of its content."""
    content = {key: value for key, value in wanted.facts.items() if key != "generation"}
    if store.short_hash(content) != wanted.generation:
        raise HostError("the archive's manifest does not hash to its generation's name: it was damaged on its way")
    if wrong := differing(folder, wanted):
        raise HostError(f"the archive is not what its manifest says: {', '.join(wrong[:5])}")


def differing(folder: Path, wanted: Manifest) -> list[str]:
    """The files below a folder that are missing, changed, or not in the manifest."""
    there = {str((Path(base) / name).relative_to(folder)) for base, _, files in os.walk(folder) for name in files} - {
        manifests.NAME
    }
    listed = wanted.files
    wrong = there ^ set(listed)
    for path in there & set(listed):
        file = folder / path
        mode = f"{file.lstat().st_mode & 0o7777:04o}"
        if file.is_symlink() or mode != listed[path]["mode"] or store.sha256(file) != listed[path]["sha256"]:
            wrong.add(path)
    return sorted(wrong)


def damaged(paths: Paths, wanted: Manifest) -> list[str]:
    """What somebody changed in the wanted generation, if it is on this host."""
    folder = paths.generation(wanted.generation)
    return differing(folder, wanted) if folder.is_dir() else []


def _mark_damaged(paths: Paths, wanted: Manifest, wrong: list[str]) -> None:
    for component in wanted.components:
        if set(wrong) & set(component.files):
            store.write(paths.marks / component.name, b"its files had been changed on the host\n")


def is_validated(paths: Paths, name: str) -> bool:
    return (paths.validated / name).exists()


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def clean(paths: Paths) -> None:
    """Remove what an interrupted hostctl left behind."""
    for leftover in paths.generations.glob(".*"):
        _remove(leftover)


def discard(paths: Paths, name: str) -> None:
    """Remove a generation that is not in use."""
    if manifests.current_name(paths) != name:
        store.remove(paths.validated / name)
        with contextlib.suppress(FileNotFoundError):
            gone = paths.generations / f".gone-{name}"
            paths.generation(name).rename(gone)
            _remove(gone)


def mounted(paths: Paths, proc: Path = Path("/proc")) -> set[str]:
    """The generations a running container has mounted: it may outlive many deploys that do not change it."""
    found: set[str] = set()
    marker = f"{paths.generations}/"
    for process in proc.iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                text = (process / "mountinfo").read_text()
                found |= {piece.split("/", 1)[0].split(" ", 1)[0] for piece in text.split(marker)[1:]}
    return found


def superfluous(paths: Paths, kept: int = KEPT_GENERATIONS) -> list[str]:
    """The generations that may go: not the newest ones, not the current one, none that a switch may go back to."""
    pending = store.read_json(paths.pending) or {}
    needed = {manifests.current_name(paths), *pending.values()}
    return [name for name in manifests.names(paths)[:-kept] if name not in needed]


def prune(paths: Paths) -> list[str]:
    """Remove generations that nobody needs; returns their names."""
    clean(paths)
    names = superfluous(paths)
    in_use = mounted(paths) if names else set()
    gone = [name for name in names if name not in in_use]
    for name in gone:
        discard(paths, name)
    return gone
