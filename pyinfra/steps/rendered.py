"""A studio's generation, rendered, or as it was rendered before.

Rendering is a pure function of the inventory, this repository and the libraries, so what it gave is kept in the
user's cache folder under a hash of all these. An unchanged studio then costs neither the rendering nor the import of
what it needs, which is most of the time that an unchanged deploy takes.
"""

import base64
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from studio.paths import INVENTORIES, ROOT

if TYPE_CHECKING:
    from studio.model import Studio

SOURCES = ("studio", "templates", "files", "hub", "alerts", "dashboards", "pyinfra/steps")
KEPT = 8


class Rendered(NamedTuple):
    """A generation: its manifest, hostctl as a zipapp (compiled for this Python too), and its archive."""

    facts: dict[str, Any]
    program: bytes
    archive: bytes


class BadInventory(Exception):
    """The inventory is missing or wrong: all that is wrong with it, for people."""


def rendered(name: str) -> Rendered:
    """The generation of a studio.

    Raises:
        BadInventory: it is missing or wrong.
    """
    file = _cache() / f"{key}.json" if (key := _key(name)) else None
    return (_read(file) if file else None) or _render(name, file)


def _render(name: str, file: Path | None) -> Rendered:
    from studio.model.errors import InventoryError
    from studio.render import render

    try:
        bundle = render(_load(name))
    except InventoryError as error:
        raise BadInventory(str(error)) from error
    made = Rendered(bundle.manifest, compiled(bundle.files["bin/hostctl.pyz"].content), bundle.tar_gz())
    if file:
        _keep(file, made)
    return made


def _load(name: str) -> "Studio":
    from studio.model.loader import load_studio

    return load_studio(name)


def compiled(zipapp: bytes) -> bytes:
    """The zipapp with its modules compiled beside their sources; another version of Python takes the sources."""
    import io
    import marshal
    import zipfile
    from importlib.util import MAGIC_NUMBER, source_hash

    unchecked = (1).to_bytes(4, "little")
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(zipapp)) as source, zipfile.ZipFile(out, "w") as target:
        for path in source.namelist():
            text = source.read(path)
            target.writestr(path, text)
            code = marshal.dumps(compile(text, f"hostctl.pyz/{path}", "exec", dont_inherit=True))
            target.writestr(f"{path}c", MAGIC_NUMBER + unchecked + source_hash(text) + code)
    return out.getvalue()


def _key(name: str) -> str | None:
    """The hash of all that the generation depends on; None when the inventory is not simply `inventories/NAME.yaml`."""
    try:
        inventory = (INVENTORIES / f"{name}.yaml").read_bytes()
    except OSError:
        return None
    told = [sys.version, str(ROOT), name, hashlib.sha256(inventory).hexdigest(), *_stamps()]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


def _stamps() -> list[str]:
    """Path, size and time of change of every file that rendering may read or run."""
    found = []
    folders = [str(ROOT / source) for source in SOURCES if (ROOT / source).is_dir()]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    if entry.name != "__pycache__":
                        folders.append(entry.path)
                else:
                    stat = entry.stat()
                    found.append(f"{entry.path} {stat.st_size} {stat.st_mtime_ns}")
    lock = (ROOT / "requirements.lock").stat()
    return [*sorted(found), f"{lock.st_size} {lock.st_mtime_ns}"]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sensor-pipeline"


def _read(file: Path) -> Rendered | None:
    """What was kept; None when nothing was, or when somebody else could have written it."""
    try:
        with file.open("rb") as kept:
            stat = os.fstat(kept.fileno())
            if stat.st_uid != os.geteuid() or stat.st_mode & 0o022:
                return None
            told = json.load(kept)
        return Rendered(told["facts"], base64.b64decode(told["program"]), base64.b64decode(told["archive"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(file: Path, made: Rendered) -> None:
    """Keep it for the next run; that this fails (a full disk, no home) is no reason to fail."""
    told = {
        "facts": made.facts,
        "program": base64.b64encode(made.program).decode(),
        "archive": base64.b64encode(made.archive).decode(),
    }
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = file.with_suffix(f".{os.getpid()}")
        beside.touch(mode=0o600)
        beside.write_text(json.dumps(told))
        beside.rename(file)
        for old in sorted(file.parent.glob("*.*"), key=lambda p: p.stat().st_mtime)[:-KEPT]:
            old.unlink()
    except OSError:
        return
