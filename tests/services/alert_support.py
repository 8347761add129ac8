"""A VictoriaMetrics on loopback out of Debian's package, filled with a simulated life; and its replay."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from lab.plain import parts
from lab.ports import free_ports
from lab.simulator.life import Life
from studio.model import Studio, load_studio
from studio.replay import on_host
from studio.replay.episodes import Episode, episodes
from studio.replay.question import question, storage_flags, vmalert_flags

EPOCH = int(datetime(2025, 6, 2, tzinfo=UTC).timestamp())


def studio() -> Studio:
    """The lab's studio, whose furnaces send each ten seconds, as those of most studios do."""
    lab = load_studio("lab")
    furnaces = [{**f.model_dump(), "expected_interval_seconds": 10} for f in lab.furnaces]
    return Studio.model_validate({**lab.model_dump(), "furnaces": furnaces})


@contextmanager
def victoriametrics(root: Path, folder: Path) -> Iterator[str]:
    """The URL of an empty one, until the block ends."""
    port = free_ports(1)[0]
    flags = [word.replace("{port}", str(port)) for word in storage_flags(str(folder / "data"))]
    argv = parts.command(root, "usr/bin/victoria-metrics", *flags)
    url = f"http://127.0.0.1:{port}"
    with (folder / "victoriametrics.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                if requests.get(f"{url}/health", timeout=2).ok:
                    break
            except requests.RequestException:
                assert process.poll() is None, (folder / "victoriametrics.log").read_text()
                assert time.monotonic() < until
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def store(url: str, life: Life, seconds: int) -> int:
    """Store the beginning of a life; returns how many samples there are now."""
    answer = requests.post(
        f"{url}/api/v1/import", data=(line.encode() for line in life.lines(EPOCH, seconds)), timeout=300
    )
    answer.raise_for_status()
    requests.get(f"{url}/internal/force_flush", timeout=60).raise_for_status()
    return samples(url)


def samples(url: str) -> int:
    """All samples of all series."""
    lines = requests.get(f"{url}/api/v1/export", params={"match[]": '{__name__!=""}'}, timeout=300).text.splitlines()
    return sum(len(json.loads(line)["values"]) for line in lines)


def asked(root: Path, of: Studio, url: str, seconds: int) -> dict[str, Any]:
    """The question that `studio replay` asks, with plain programs in the place of the containers."""
    begin, end = (datetime.fromtimestamp(EPOCH + at, UTC) for at in (0, seconds))
    storage = parts.command(root, "usr/bin/victoria-metrics", *storage_flags("{folder}/data"))
    vmalert = parts.command(root, "usr/bin/vmalert", *vmalert_flags(of, url, "{folder}/rules"))
    return {**question(of, begin, end, url), "storage": storage, "vmalert": vmalert, "cleanup": []}


def replay(what: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run it as on the host."""
    argv = [sys.executable, "-I", on_host.__file__]
    return subprocess.run(argv, input=json.dumps(what), capture_output=True, text=True, timeout=600, check=False)


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The exported lines of a replay that went well."""
    assert done.returncode == 0, done.stderr
    found: str = json.loads(done.stdout)["alerts"]
    return found.splitlines()


def replayed(root: Path, of: Studio, url: str, seconds: int) -> list[Episode]:
    return episodes(lines(replay(asked(root, of, url, seconds))))
