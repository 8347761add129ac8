"""A version of the agent: a folder named by the hash of its content, whole or not there.

`manifest.json` in it lists its files with mode and sha256. The unit's start command has the folder's name in it,
so that the version that runs can be read off the running process.
"""

import base64
import compileall
import importlib.util
import io
import os
import shutil
import tarfile
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Final

from devicectl import service
from devicectl.paths import Paths
from hostctl import store
from hostctl.errors import HostError

LIST: Final = "manifest.json"


def in_use(paths: Paths) -> str | None:
    """The version that `current` names."""
    return paths.current.readlink().name if paths.current.is_symlink() else None


def damage(paths: Paths, version: str) -> list[str]:
    """What is not as it should be in a version's folder and in what was placed from it; empty: all is well."""
    folder = paths.versions / version
    listed = _files(folder)
    if _name(listed) != version:
        return [f"{folder} is not there or not whole"]
    found = [str(folder / path) for path, file in listed.items() if not _is(folder / path, file)]
    if found:
        return found
    if not _compiled(folder / "lib/agent/cli.py").exists():
        found.append(f"{folder} is not compiled for this Python")
    found += [str(target) for target, text in _placed(paths, folder) if not target.is_file() or _other(target, text)]
    if not paths.command.is_symlink():
        found.append(str(paths.command))
    return found


def put(paths: Paths, version: str, package: str) -> None:
    """Unpack a version (a tar in base64) beside the others; raises HostError when it is not what its name says."""
    target = paths.versions / version
    store.make_folder(paths.versions)
    work = paths.versions / f".new-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(package)), mode="r:gz") as archive:
            archive.extractall(work, filter="data")
        listed = _files(work)
        if _name(listed) != version or not all(_is(work / p, file) for p, file in listed.items()):
            raise HostError(f"the package is not version {version}: it was damaged on its way; run the deploy again")
        # The code's own path, as tracebacks show it, is that of the folder's last name.
        for part in ("lib/agent", "lib/paho"):
            compileall.compile_dir(
                work / part,
                quiet=2,
                stripdir=str(work),
                prependdir=str(target),
                # The sources never change in a version's folder, and its times mean nothing.
                invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
            )
        os.sync()
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
        store.sync_folder(paths.versions)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def switch(paths: Paths, version: str) -> None:
    """Make a version the one that is started: its unit, its account's description, `current`."""
    folder = paths.versions / version
    for target, text in _placed(paths, folder):
        store.write(target, text)
    store.link(paths.current, f"versions/{version}")
    store.link(paths.command, str(Path("/opt/studio-agent/current/bin/studio-agent")))


def prune(paths: Paths) -> None:
    """Remove every version but the one in use, and what a killed deploy left behind."""
    kept = in_use(paths)
    for folder in paths.versions.iterdir():
        if folder.name != kept:
            shutil.rmtree(folder, ignore_errors=True)


def _placed(paths: Paths, folder: Path) -> list[tuple[Path, bytes]]:
    """The files of a version that have their place elsewhere, and what they say there."""
    unit = (folder / "studio-agent.service").read_text()
    own = unit.replace("/opt/studio-agent/current/", f"/opt/studio-agent/versions/{folder.name}/")
    own = service.understood(own, service.systemd_version())
    return [(paths.users, (folder / "studio-agent.sysusers").read_bytes()), (paths.unit, own.encode())]


def _other(path: Path, text: bytes) -> bool:
    return path.read_bytes() != text


def _files(folder: Path) -> dict[str, dict[str, str]]:
    """The files that a version's manifest lists; none when there is no manifest."""
    manifest = store.read_json(folder / LIST)
    return manifest.get("files", {}) if isinstance(manifest, dict) else {}


def _name(listed: dict[str, dict[str, str]]) -> str:
    return store.short_hash({"files": listed})


def _is(path: Path, file: dict[str, str]) -> bool:
    try:
        return (f"{path.lstat().st_mode & 0o7777:04o}", store.sha256(path)) == (file["mode"], file["sha256"])
    except OSError:
        return False


def _compiled(source: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(source)))
