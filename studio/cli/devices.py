"""studio devices: the agent on the studio's cameras."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from rich.markup import escape
from rich.table import Table

from studio.cli import chosen, status
from studio.cli.outcome import Exit, Stop
from studio.devices import chosen as chosen_cameras
from studio.devices.ask import Told, ask_all, unreached
from studio.devices.checks import Check, checks, failure
from studio.devices.plan import plan
from studio.devices.release import Release, release
from studio.host import run
from studio.model.equipment import Camera
from studio.paths import PYINFRA

UNREACHED = "pyinfra could not reach it over SSH; what it said is above"


def deploy(name: str | None, names: Sequence[str], *, again: bool) -> None:
    """Put the agent on the cameras; a table at the end, exit code 1 when one failed."""
    _pyinfra("devices.py", name, names, {"again": again}, "as it was")


def remove(name: str | None, names: Sequence[str], *, keep_data: bool) -> None:
    """Remove the agent from the cameras, and their accounts from the hub."""
    _pyinfra("devices_remove.py", name, names, {"keep_data": keep_data}, "nothing was there")


def _pyinfra(file: str, name: str | None, names: Sequence[str], flags: dict[str, bool], nothing: str) -> None:
    inventory = chosen.inventory(name)
    studio = release(inventory).studio
    cameras = chosen_cameras(studio, names)
    with tempfile.TemporaryDirectory() as made:
        report = Path(made, "report")
        report.touch(0o600)
        data = {"report": report, **{key: "true" for key, value in flags.items() if value}}
        argv = [str(Path(sys.executable).with_name("pyinfra")), "devices_hosts.py", file, "-y"]
        argv += [word for camera in cameras for word in ("--limit", camera.id)]
        argv += [word for key, value in data.items() for word in ("--data", f"{key}={value}")]
        try:
            code = subprocess.run(argv, cwd=PYINFRA, check=False, env={**os.environ, "STUDIO": inventory}).returncode
        except FileNotFoundError:
            raise Stop(Exit.FAILED, f"{argv[0]} is missing: run `make setup`") from None
        told = {line["camera"]: line for line in map(json.loads, report.read_text().splitlines())}
    silent = [camera for camera in cameras if camera.id not in told]
    why = unreached(studio, silent)
    told |= {camera.id: {"error": why.get(camera.id, UNREACHED)} for camera in silent}
    _show_outcome(cameras, told, nothing)
    if code or any(line["error"] for line in told.values()):
        raise Stop(Exit.FAILED)


def _show_outcome(cameras: Sequence[Camera], told: dict[str, Any], nothing: str) -> None:
    table = Table("camera", "at", "result", "", box=None, header_style="bold")
    for camera in cameras:
        line = told[camera.id]
        if line["error"]:
            result, detail = "[red]failed[/red]", line["error"]
        else:
            result, detail = "[green]ok[/green]", "; ".join(line["done"]) or nothing
        table.add_row(camera.id, camera.host, result, escape(detail))
    chosen.console().print(table)


def _ask(name: str | None, names: Sequence[str]) -> tuple[Release, list[Told], dict[str, float]]:
    made = release(chosen.inventory(name))
    told = ask_all(made, chosen_cameras(made.studio, names))
    return made, told, _ages(made)


def _ages(made: Release) -> dict[str, float]:
    """How many seconds old each camera's newest stored reading is."""
    query = f'tlast_over_time(camera_temp_mean{{studio="{made.studio.name}"}}[{status.LOOK_BACK}])'
    base = f"http://127.0.0.1:{made.studio.ports.victoriametrics}/api/v1/query?"
    question = {"newest": base + urlencode({"query": query, "latency_offset": "1ms"})}
    answer = json.loads(run(made.studio, ["python3", "-I", "-c", status.ASK], stdin=json.dumps(question).encode()).out)
    rows = answer["newest"].get("data", {}).get("result", [])
    return {row["metric"].get("camera", ""): answer["now"] - float(row["value"][1]) for row in rows}


def show_status(name: str | None, names: Sequence[str], *, as_json: bool) -> None:
    """What is on the cameras; exit code 1 when one is not as it should be."""
    _, told, ages = _ask(name, names)
    lines = [_line(one, ages.get(one.camera.id)) for one in told]
    if as_json:
        print(json.dumps(lines, indent=2))
    else:
        table = Table("camera", "at", "agent", "version", "device", "newest", "", box=None, header_style="bold")
        for line in lines:
            colour = "green" if line["ok"] else "red"
            state = f"[{colour}]{escape(line['state'])}[/{colour}]"
            newest = status.age(line["age_seconds"])
            cells = (line["camera"], line["at"], state, line["version"] or "-", line["device"] or "-", newest)
            table.add_row(*cells, escape(line["detail"]))
        chosen.console().print(table)
    if not all(line["ok"] for line in lines):
        raise Stop(Exit.FAILED)


def _line(told: Told, age: float | None) -> dict[str, Any]:
    line = {"camera": told.camera.id, "at": told.camera.host, "age_seconds": age}
    if told.found is None or told.wanted is None:
        return {**line, "ok": False, "state": "unknown", "version": None, "device": None, "detail": told.error}
    needed = plan(told.found, told.wanted).reasons
    words = [*needed, failure(told.found), told.found["said"]]
    return {
        **line,
        "ok": not needed,
        "state": told.found["unit"].get("ActiveState", "unknown"),
        "version": told.found["version"],
        "device": told.found["name"],
        "detail": "; ".join(dict.fromkeys(filter(None, words))),
    }


def verify(name: str | None, names: Sequence[str], *, as_json: bool) -> None:
    """Check the cameras; exit code 1 when a check failed, or a camera could not be asked."""
    made, told, ages = _ask(name, names)
    results: dict[str, list[Check]] = {}
    for one in told:
        if one.found is None or one.wanted is None:
            results[one.camera.id] = [Check("it answers", ok=False, detail=one.error)]
        else:
            results[one.camera.id] = checks(one.found, one.wanted, ages.get(one.camera.id))
    if as_json:
        print(json.dumps({camera: [asdict(check) for check in some] for camera, some in results.items()}, indent=2))
    else:
        _show_checks(made.studio.name, results)
    if any(check.ok is False for some in results.values() for check in some):
        raise Stop(Exit.FAILED)


def _show_checks(studio: str, results: dict[str, list[Check]]) -> None:
    table = Table("camera", "check", "result", "detail", box=None, header_style="bold")
    words = {True: "[green]ok[/green]", False: "[red]failed[/red]", None: "[yellow]waiting[/yellow]"}
    for camera, some in results.items():
        for number, check in enumerate(some):
            table.add_row(
                "" if number else camera, check.name, words[check.ok], escape("" if check.ok else check.detail)
            )
    console = chosen.console()
    console.print(table)
    failed = sum(check.ok is False for some in results.values() for check in some)
    console.print(f"\n{studio}: {sum(map(len, results.values()))} checks on {len(results)} cameras, {failed} failed")
