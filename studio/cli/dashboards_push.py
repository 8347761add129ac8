"""Bring a studio's dashboards to Grafana: what is there already is left alone, what fails stops nothing else."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from studio.cli.dashboards_api import Api, GrafanaError
from studio.model import Studio
from studio.render.grafana import render

OWN = frozenset({"id", "version"})
"""What Grafana itself numbers."""
EMPTY: Final[tuple[Any, ...]] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one dashboard: created, updated, unchanged, failed, or with `would ` before it."""

    dashboard: str
    uid: str
    outcome: str
    message: str = ""


def holds(theirs: Any, ours: Any) -> bool:
    """Whether all of ours is in theirs; Grafana adds fields of its own, and may leave out what is empty."""
    if isinstance(ours, Mapping):
        return isinstance(theirs, Mapping) and all(
            holds(theirs[key], value) if key in theirs else value in EMPTY
            for key, value in ours.items()
            if key not in OWN
        )
    if isinstance(ours, list):
        return (
            isinstance(theirs, list)
            and len(theirs) == len(ours)
            and all(holds(their, our) for their, our in zip(theirs, ours, strict=True))
        )
    return bool(theirs == ours)


def _one(api: Api, name: str, dashboard: dict[str, Any], folder: str, *, dry: bool) -> Result:
    uid = str(dashboard["uid"])
    try:
        old = api.get(uid)
        if old is not None and old.folder == folder and holds(old.content, dashboard):
            return Result(name, uid, "unchanged")
        outcome = "created" if old is None else "updated"
        if dry:
            return Result(name, uid, f"would be {outcome}")
        api.put(dashboard, folder, old)
    except GrafanaError as error:
        return Result(name, uid, "failed", str(error))
    return Result(name, uid, outcome)


def push(api: Api, studio: Studio, folder: str, *, dry: bool) -> Iterator[Result]:
    """Each dashboard's result, as soon as it is known.

    Raises:
        GrafanaError: the folder cannot be made, so nothing was done.
        GrafanaUnreachable: Grafana is away; what was told until then is done.
    """
    if not dry and not api.has_folder(folder):
        api.make_folder(folder, f"Studio {studio.display_name}")
    for path, artifact in render(studio).items():
        name = path.rpartition("/")[2].removesuffix(".json")
        yield _one(api, name, json.loads(artifact.content), folder, dry=dry)
