"""A content-addressed cache: nothing is built twice from the same inputs; a half-built thing never counts."""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from lab.paths import cache_dir
from lab.run import locked, step

Input = str | Path
UNFINISHED = ".building-"


def key_of(inputs: Iterable[Input]) -> str:
    """Sixteen hex digits over texts as they are, files by content, and folders by all their files, modes and links."""
    digest = hashlib.sha256()
    for item in inputs:
        if isinstance(item, str):
            digest.update(f"text {len(item.encode())}\n{item}".encode())
            continue
        for file in sorted(_files(item)):
            name = file.relative_to(item) if item.is_dir() else file.name
            kind, content = (
                ("link", str(file.readlink()).encode()) if file.is_symlink() else ("file", file.read_bytes())
            )
            mode = file.lstat().st_mode & 0o111
            digest.update(f"{kind} {name} {mode:o} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def cached(kind: str, what: str, inputs: Iterable[Input], make: Callable[[Path], None]) -> Path:
    """The folder (or file) made by `make` from `inputs`; `make` runs only when it is not there yet.

    Args:
        kind: first part of its name in the cache, e.g. `base`.
        what: what a person reads while it is made.
        inputs: everything it is made from, the recipe's own version included.
        make: makes it at the path it is given, a temporary one that is renamed when it is whole.
    """
    final = cache_dir() / f"{kind}-{key_of(inputs)}"
    if final.exists():
        return final
    with locked(cache_dir() / ".locks" / final.name):
        if final.exists():
            return final
        temporary = cache_dir() / f"{UNFINISHED}{final.name}"
        remove(temporary)
        with step(what):
            make(temporary)
        temporary.rename(final)
    return final


def show(built: Path, at: Path) -> None:
    """Give a built file a second name, which the guest sees; replaced at once when something else was there."""
    if at.exists() and at.samefile(built):
        return
    at.parent.mkdir(parents=True, exist_ok=True)
    temporary = at.with_name(f".{at.name}")
    remove(temporary)
    temporary.hardlink_to(built)
    temporary.rename(at)


def prune(kind: str, keep: Iterable[Path]) -> None:
    """Remove what was built of `kind` but for `keep`."""
    name = re.compile(rf"{kind}-[0-9a-f]{{16}}")
    for path in set(cache_dir().glob(f"{kind}-*")) - set(keep):
        if name.fullmatch(path.name):
            remove(path)
            (cache_dir() / ".locks" / path.name).unlink(missing_ok=True)


def prune_unfinished() -> None:
    """Remove what a build that was killed left behind, but nothing that another build is at."""
    for path in cache_dir().glob(f"{UNFINISHED}*"):
        name = re.match(r"[a-z-]+-[0-9a-f]{16}", path.name.removeprefix(UNFINISHED))
        with locked(cache_dir() / ".locks" / (name[0] if name else path.name), wait=False) as free:
            if free:
                remove(path)


def remove(path: Path) -> None:
    """Remove a file or a folder, or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _files(item: Path) -> list[Path]:
    if item.is_file():
        return [item]
    found = [path for path in item.rglob("*") if path.is_symlink() or path.is_file()]
    return [path for path in found if "__pycache__" not in path.parts]
