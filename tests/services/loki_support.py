"""tests/loki, the tool that judges log configurations with Loki's own code: built once, and asked.

Run as a program, this only builds it, which takes minutes on a machine that has not compiled Loki before.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.paths import REPO, lab_dir

SOURCE = REPO / "tests" / "loki"
GO = shutil.which("go") or "/usr/local/go/bin/go"
BUILD_SECONDS = 3600


def tool() -> Path:
    """The program; built by the Go toolchain when it is not there for just these sources."""
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(SOURCE.iterdir()))).hexdigest()[:16]
    folder = lab_dir() / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / f"lokicheck-{digest}"
    with (folder / "lokicheck.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            build(program)
    return program


def build(program: Path) -> None:
    new = program.with_suffix(".new")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    subprocess.run([GO, "build", "-o", str(new), "."], cwd=SOURCE, env=environment, check=True, timeout=BUILD_SECONDS)
    new.rename(program)


def syntax(*paths: Path) -> str:
    """What is wrong with these files; empty when nothing is."""
    done = subprocess.run([tool(), "syntax", *map(str, paths)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr


def play(pipelines: list[Path], rules: list[Path], cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What becomes of each case's lines in the pipelines, and which rules fire."""
    wanted = {"pipelines": [str(p) for p in pipelines], "rules": [str(p) for p in rules], "cases": cases}
    done = subprocess.run(
        [tool(), "play"], input=json.dumps(wanted), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told


@contextmanager
def following(path: Path, count: int) -> Iterator["subprocess.Popen[str]"]:
    """A collector that prints the first `count` lines of a file, and ends."""
    with subprocess.Popen([tool(), "follow", str(path), str(count)], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    tool()
