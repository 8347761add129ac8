"""Many agents of one machine that provision themselves at once, each with a folder and a name of its own."""

import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

from agent import folder, handshake, provision
from agent.credentials import Credentials
from agent.errors import AgentError
from agent.logs import open_log
from agent.request import read_request

THREADS: Final = 100
"""Agents in one process; more processes are started for more of them."""
PATIENT: Final = provision.Pace(step=30)
"""For agents that have but one try on a machine that they fill."""
PAUSES: Final = (5, 10, 20, 40, 80, 150)
"""s, as the unit's RestartSec, RestartSteps and RestartMaxDelaySec make them."""


def _prepared(directory: Path, request: dict[str, str]) -> Path:
    directory.mkdir()
    (directory / "provision.txt").touch()
    (directory / "provision.json").write_text(json.dumps(request))
    return directory


def _whole(directory: Path, number: int, pace: provision.Pace = PATIENT) -> None:
    with folder.held(directory), Path(os.devnull).open("w") as nowhere:
        provision.provision(directory, open_log("json", stream=nowhere), pace, f"{number:012x}")


def _restarted(directory: Path, number: int) -> None:
    """As its unit does it: an agent that could not provision is started again after 5 s, and more each time."""
    for wait in PAUSES:
        try:
            _whole(directory, number, provision.Pace())
        except AgentError:
            time.sleep(wait)
        else:
            return
    _whole(directory, number, provision.Pace())


def _bare(directory: Path, number: int) -> None:
    request = read_request(directory)
    wanted = Credentials("ACCESS_TOKEN", f"bare-{number}", f"token-{number}")
    with Path(os.devnull).open("w") as nowhere:
        handshake.ask(request, wanted, str(number), open_log("json", stream=nowhere), 30)


def _many(work: str, numbers: range, request: dict[str, str], ready: object, results: object) -> None:
    """One process: a thread for each agent, all let go at the same moment."""
    act = {"whole": _whole, "bare": _bare, "restarted": _restarted}[work]
    taken: list[float | None] = []
    with tempfile.TemporaryDirectory() as made:
        directories = [_prepared(Path(made) / str(number), request) for number in numbers]

        def one(directory: Path, number: int) -> None:
            begun = time.perf_counter()
            try:
                act(directory, number)
            except AgentError as error:
                print(error, file=sys.stderr)
                taken.append(None)
            else:
                taken.append(time.perf_counter() - begun)

        threads = [threading.Thread(target=one, args=pair) for pair in zip(directories, numbers, strict=True)]
        ready.wait()  # type: ignore[attr-defined]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    results.put(taken)  # type: ignore[attr-defined]


def at_once(work: str, count: int, request: dict[str, str]) -> tuple[list[float], int]:
    """Seconds of each of `count` agents provisioning at once, and how many failed."""
    spawn = multiprocessing.get_context("spawn")
    groups = [range(n, min(n + THREADS, count)) for n in range(0, count, THREADS)]
    ready, results = spawn.Barrier(len(groups)), spawn.Queue()
    children = [spawn.Process(target=_many, args=(work, g, request, ready, results)) for g in groups]
    for child in children:
        child.start()
    taken = [seconds for _ in children for seconds in results.get(timeout=600)]
    for child in children:
        child.join()
    good = [seconds for seconds in taken if seconds is not None]
    return good, len(taken) - len(good)


def percentile(taken: list[float], percent: int) -> float:
    """s within which so many of a hundred were done."""
    return statistics.quantiles(taken, n=100)[percent - 1] if len(taken) > 1 else 0.0


def crowd(count: int, request: dict[str, str]) -> dict[str, float]:
    """Agents at once at a server of one's own: how many were provisioned, how many not, p50 and p99 in s."""
    taken, failed = at_once("restarted", count, request)
    p50, p99 = (round(percentile(taken, percent), 2) for percent in (50, 99))
    return {
        "provisioned": len(taken),
        "failed": failed,
        "p50": p50,
        "p99": p99,
        "slowest": round(max(taken, default=0), 2),
    }
