"""The hub's stdout: never waited for, whole lines, written out at the end."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub_servers import hub_env, wait_until

from hub.logs import LogWriter
from lab.ports import free_port

pytestmark = pytest.mark.services


def test_a_stalled_stdout_drops_lines_keeps_errors_and_never_blocks() -> None:
    reader, writer = os.pipe()
    log = LogWriter(writer, size=500)
    slowest = 0.0
    for n in range(5000):
        began = time.perf_counter()
        log.put(20, {"n": n, "text": "x" * 1000})
        slowest = max(slowest, time.perf_counter() - began)
    for n in range(100):
        log.put(40, {"error": n})
    assert slowest < 10, "nobody reads: a put that waits would wait for ever"
    assert log.depth <= 1000
    assert log.dropped >= 4000
    got = bytearray()

    def drain() -> None:
        while part := os.read(reader, 65536):
            got.extend(part)

    thread = threading.Thread(target=drain)
    thread.start()
    log.close()
    os.close(writer)
    thread.join(10)
    os.close(reader)
    lines = [json.loads(line) for line in bytes(got).splitlines()]
    assert [line["error"] for line in lines if "error" in line] == list(range(100))
    assert sum("n" in line for line in lines) == 5000 - log.dropped


def test_many_lines_are_few_writes_and_one_alone_does_not_wait_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []

    def write(fd: int, data: bytes) -> int:
        writes.append(data.count(b"\n"))
        return os.pwrite(fd, data, 0)

    monkeypatch.setattr("hub.logs.os.write", write)
    with (tmp_path / "log").open("wb") as file:
        log = LogWriter(file.fileno())
        log.put(20, {"alone": True})
        wait_until("a line alone is written", lambda: writes == [1])
        began = time.monotonic()
        for n in range(300):
            log.put(20, {"n": n})
            time.sleep(0.003)
        log.close()
        seconds = time.monotonic() - began
    assert sum(writes) == 301
    assert len(writes) < 10 + seconds * 30, "not a hundred a second"


@pytest.mark.parametrize("value", [b"\xff", "\ud800", float("nan"), {1: object()}, 2**70])
def test_no_value_breaks_a_log_line(value: Any, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        log = LogWriter(file.fileno())
        log.put(20, {"event": "odd", "value": value})
        log.put(20, {"event": "after"})
        log.close()
    assert [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()][-1] == "after"


def _start(folder: Path, **given: str) -> tuple["subprocess.Popen[str]", dict[str, Any]]:
    """A hub whose stdout nobody reads but for its first line."""
    env = {**os.environ, **hub_env(folder, f"sqlite:///{folder}/hub.db"), **given}
    process = subprocess.Popen([sys.executable, "-m", "hub"], env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def test_a_signal_at_the_first_moment_also_ends_it_in_order(tmp_path: Path) -> None:
    process, first = _start(tmp_path, HUB_PORT="0")
    process.terminate()
    rest, _ = process.communicate(timeout=30)
    assert first["event"] == "hub.started"
    assert [json.loads(line)["event"] for line in rest.splitlines()][-1] == "hub.stopped"
    assert process.returncode == 0


def test_sigterm_writes_out_what_stdout_did_not_take_yet(tmp_path: Path) -> None:
    port = free_port()
    process, _ = _start(tmp_path, HUB_PORT=str(port), HUB_LOG_LEVEL="DEBUG")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
        wait_until("it serves", lambda: client.get("/healthz").status_code == 200)
        for _ in range(600):
            client.get("/healthz").raise_for_status()
    process.terminate()
    rest, _ = process.communicate(timeout=30)
    assert len(rest) > 100_000, "more than a pipe holds"
    events = [json.loads(line)["event"] for line in rest.splitlines()]
    assert events.count("http.request") >= 600
    assert events[-1] == "hub.stopped"
    assert process.returncode == 0
