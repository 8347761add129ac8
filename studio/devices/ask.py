"""Ask a camera what there is, over ssh; many at once."""

import json
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from studio.devices import program
from studio.devices.cameras import at
from studio.devices.plan import Found, Wanted
from studio.devices.release import Release
from studio.host import Failed, HostProblem, Unreachable
from studio.host.reach import Answer, check, reached, ssh_argv
from studio.model import Studio
from studio.model.equipment import Camera

SECONDS = 60
AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Told:
    """What a camera told, or why it told nothing."""

    camera: Camera
    wanted: Wanted | None = None
    found: Found | None = None
    error: str = ""


def read(lines: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Where the log-in came from, and the facts, of devicectl's lines; raises ValueError."""
    # Before them stands what the account's own shell may say at every log-in.
    where, answer = lines[-2], json.loads(lines[-1])
    if not isinstance(answer, dict):
        raise ValueError("no facts")
    return where, answer


def unreached(studio: Studio, cameras: Sequence[Camera]) -> dict[str, str]:
    """By camera, why it cannot be reached over ssh; those that can are left out."""

    def why(camera: Camera) -> str:
        try:
            check(at(studio, camera))
        except HostProblem as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = zip(cameras, pool.map(why, cameras), strict=True)
        return {camera.id: error for camera, error in told if error}


def ask_all(release: Release, cameras: Sequence[Camera]) -> list[Told]:
    """Every camera's answer, in their order."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda camera: _ask(release, camera), cameras))


def _ask(release: Release, camera: Camera) -> Told:
    try:
        where, found = _facts(release, camera)
        return Told(camera, release.wanted(camera, where), found)
    except HostProblem as error:
        return Told(camera, error=str(error))


def _facts(release: Release, camera: Camera) -> tuple[str, Found]:
    view = at(release.studio, camera)
    argv = [*ssh_argv(view), program.line("facts", release.bundle.generation)]
    try:
        done = subprocess.run(argv, input=program.parcel().encode(), capture_output=True, timeout=SECONDS, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Unreachable(f"{view.name}: no answer over ssh: {error}") from None
    answer = Answer(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace").strip())
    reached(view, answer)
    try:
        return read(answer.text.splitlines())
    except (ValueError, IndexError):
        raise Failed(f"{view.name}: {answer.err or 'it answered nothing'}") from None
