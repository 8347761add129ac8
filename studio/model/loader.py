"""From an inventory file to a Studio, or to every problem of the file at once."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from studio.model.document import Document, nearest, read
from studio.model.errors import FieldPath, InventoryError, Problem
from studio.model.explain import explain, field_at, model_at
from studio.model.studio import Studio
from studio.model.text import MAX_BYTES, Unreadable
from studio.paths import INVENTORIES, ROOT

SUFFIX: Final = ".yaml"
ROUNDS: Final = 6

# A value that fits, for each required field: with these in the place of what is wrong, the rest is checked as well.
PLACEHOLDERS: Final[dict[str, Any]] = {
    "name": "placeholder",
    "furnaces": ({"id": "placeholder", "low": 0, "high": 1500},),
    "low": -50,
    "high": 2000,
    "url_secret": "placeholder",
    "metrics_url": "https://placeholder.example",
    "user": "placeholder",
    "address": "placeholder",
}


def names(folder: Path = INVENTORIES) -> list[str]:
    """The studios that have an inventory in a folder, in order."""
    return sorted(path.stem for path in folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []


def find(wanted: str | Path, folder: Path = INVENTORIES) -> Path:
    """The inventory file of a studio by its name, or the file itself when a path is given."""
    if isinstance(wanted, Path) or "/" in wanted or wanted.endswith((SUFFIX, ".yml")):
        return Path(wanted)
    path = folder / f"{wanted}{SUFFIX}"
    if path.exists():
        return path
    known = names(folder)
    where = shown(folder)
    if (folder / f"{wanted}.yml").is_file():
        raise _about(f"{where}/{wanted}.yml", f"inventories end in {SUFFIX}", f"rename it to {wanted}{SUFFIX}")
    near = nearest(wanted, known)
    there = f"there is: {', '.join(known)}" if known else f"make {where}/{wanted}{SUFFIX}; README.md shows one"
    raise _about(
        f"{where}/{wanted}{SUFFIX}",
        f"there is no studio {wanted!r}",
        f"did you mean {near!r}? {there}" if near else there,
    )


def only(folder: Path = INVENTORIES) -> str:
    """The name of the only studio there is; an InventoryError when there are none or several."""
    known = names(folder)
    if len(known) == 1:
        return known[0]
    if known:
        raise _about(shown(folder), "which studio?", f"name one, or set STUDIO; there is: {', '.join(known)}")
    raise _about(shown(folder), "there is no inventory", "make one; README.md shows one of 15 lines")


def load_studio(wanted: str | Path, folder: Path = INVENTORIES) -> Studio:
    """The studio of an inventory, named by its name or its path; raises InventoryError with every problem in it."""
    path = find(wanted, folder)
    file = shown(path)
    try:
        document = read(_content(path, file))
    except Unreadable as error:
        raise InventoryError(file, [error.problem]) from None
    studio, problems = _validate(document)
    if "name" in document.data and document.data["name"] != path.stem:
        what = f"{document.data['name']!r} is not the file's name"
        do = f"write `name: {path.stem}`, or rename the file to {document.data['name']}{SUFFIX}"
        if not any(p.field == "name" for p in problems):
            problems.append(document.problem(("name",), what, do))
    if problems or studio is None:
        raise InventoryError(file, problems)
    return studio


def shown(path: Path) -> str:
    """A path as people know it: relative to the repository when it is below it."""
    absolute = path.absolute()
    return str(absolute.relative_to(ROOT)) if absolute.is_relative_to(ROOT) else str(path)


def _about(file: str, what: str, do: str) -> InventoryError:
    return InventoryError(file, [Problem(0, 0, "", what, do)])


def _content(path: Path, file: str) -> bytes:
    try:
        if not path.is_file():
            what = "is a folder, not an inventory" if path.is_dir() else "there is no such file"
            raise _about(file, what, f"name a file that ends in {SUFFIX}")
        with path.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise _about(file, f"it cannot be read: {error.strerror}", "make it readable for you") from None


def _validate(document: Document) -> tuple[Studio | None, list[Problem]]:
    """The studio, or all problems: what is wrong is replaced by what fits until nothing new is found."""
    problems = list(document.problems)
    data = _open(document.data)
    replaced: set[FieldPath] = set()
    for _ in range(ROUNDS):
        try:
            studio = Studio.model_validate(_closed(data), strict=True)
        except ValidationError as error:
            errors = [e for e in error.errors(include_url=False) if not (e["type"] == "too_short" and e["input"])]
            fresh = [e for e in errors if not _of_placeholder(e, replaced)]
            problems += [p for e in fresh for p in explain(e, document) if p not in problems]
            if not _repair(data, errors, replaced):
                break
        else:
            return (None if problems else studio), problems
    return None, problems


def _of_placeholder(error: ErrorDetails, replaced: set[FieldPath]) -> bool:
    """Whether an error may come from what was put in the place of another one."""
    path = tuple(error["loc"])
    return path in replaced or (bool(path) and any(p[: len(path)] == path for p in replaced))


def _repair(data: Any, errors: Sequence[ErrorDetails], replaced: set[FieldPath]) -> bool:
    """Replace what is wrong in `data`; False when it cannot be."""
    for error in errors:
        path = tuple(error["loc"])
        if not path:
            return False
        *above, last = path
        owner = data
        for step in above:
            owner = owner[step]
        info = field_at(path)
        if error["type"] == "extra_forbidden":
            owner.pop(last, None)
            continue
        if isinstance(last, int):
            owner[last] = dict(_item(path, owner[last]))
        elif info and not info.is_required():
            owner.pop(last, None)
        else:
            owner[last] = _open(PLACEHOLDERS.get(str(last), f"placeholder-{len(replaced)}"))
        replaced.add(path)
    return True


def _item(path: FieldPath, broken: Any) -> Iterator[tuple[str, Any]]:
    """An item of a list that fits, with the id of the broken one."""
    model = model_at(path)
    for name, info in model.model_fields.items() if model else ():
        if info.is_required():
            given = broken.get("id") if name == "id" and isinstance(broken, dict) else None
            yield name, given or PLACEHOLDERS.get(name, f"placeholder-{'-'.join(str(s) for s in path)}")


def _open(data: Any) -> Any:
    """The data with lists instead of tuples, as a copy that can be changed."""
    if isinstance(data, dict):
        return {key: _open(value) for key, value in data.items()}
    return [_open(item) for item in data] if isinstance(data, tuple) else data


def _closed(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _closed(value) for key, value in data.items()}
    return tuple(_closed(item) for item in data) if isinstance(data, list) else data
