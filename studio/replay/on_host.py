"""Replay rules next to the data; run as a program of its own on the host, with nothing but Python's standard library.

stdin: {"rules": {file: text}, "source": URL of the studio's storage, "match": a selector of what must be stored there,
"storage": argv, "vmalert": argv, "cleanup": argv, "from": RFC 3339, "to": RFC 3339};
in an argv {folder} is a folder with the rules in rules/, and {port} a free port for the throw-away storage.
stdout: the lines of /api/v1/export of the ALERTS series. Exit code 1: stderr says why there are none.
"""

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, NoReturn

READY_SECONDS = 60
STOP_SECONDS = 20
LAST_LINES = 5


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fill(argv: list[str], folder: Path, port: int) -> list[str]:
    return [word.replace("{folder}", str(folder)).replace("{port}", str(port)) for word in argv]


def fail(what: str, log: Path) -> NoReturn:
    lines = log.read_text(errors="replace").splitlines()
    said = [line for line in lines if "\terror\t" in line or "\tfatal\t" in line or "\tpanic\t" in line] or lines
    sys.exit("\n".join([what, *said[-LAST_LINES:]]))


def wait(storage: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):  # noqa: S310 - loopback
                return
        except (OSError, urllib.error.URLError):
            if storage.poll() is not None or time.monotonic() > until:
                fail("the throw-away VictoriaMetrics does not start:", log)
            time.sleep(0.1)


def anything_stored(question: dict[str, Any]) -> bool:
    """Whether the studio's storage has something of that time; so it is taken where that cannot be asked."""
    times = {"start": question["from"], "end": question["to"]}
    query = urllib.parse.urlencode({"match[]": question["match"], **times, "reduce_mem_usage": "1"})
    try:
        with urllib.request.urlopen(f"{question['source']}/api/v1/export?{query}", timeout=60) as answer:  # noqa: S310 - the operator's
            return bool(answer.read(1))
    except (OSError, ValueError):
        # vmalert asks next, and says what is wrong.
        return True


def alerts(url: str) -> str:
    """Every alert that the replay stored, as lines of JSON."""
    urllib.request.urlopen(f"{url}/internal/force_flush", timeout=60).close()  # noqa: S310 - loopback
    query = urllib.parse.urlencode({"match[]": 'ALERTS{alertstate="firing"}'})
    with urllib.request.urlopen(f"{url}/api/v1/export?{query}", timeout=60) as answer:  # noqa: S310 - loopback
        return str(answer.read().decode())


def replay(question: dict[str, Any], folder: Path) -> str:
    if not anything_stored(question):
        sys.exit(f"nothing is stored from {question['from']} to {question['to']}: choose another time")
    rules = folder / "rules"
    rules.mkdir()
    for name, text in question["rules"].items():
        (rules / name).write_text(text)
    # The containers' account has to read them.
    for path in (folder, rules, *rules.iterdir()):
        path.chmod(0o755)
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", folder / "storage.log"
    with log.open("wb") as said:
        storage = subprocess.Popen(fill(question["storage"], folder, port), stdout=said, stderr=said)
    try:
        wait(storage, url, log)
        times = [f"-replay.timeFrom={question['from']}", f"-replay.timeTo={question['to']}"]
        done_log = folder / "vmalert.log"
        with done_log.open("wb") as said:
            argv = [*fill(question["vmalert"], folder, port), *times]
            done = subprocess.run(argv, stdout=said, stderr=said, check=False)
        if done.returncode:
            fail("vmalert could not replay:", done_log)
        return alerts(url)
    finally:
        storage.terminate()
        try:
            storage.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            storage.kill()
            storage.wait()
        if question["cleanup"]:
            subprocess.run(fill(question["cleanup"], folder, port), capture_output=True, check=False)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("the replay was stopped"))
    with tempfile.TemporaryDirectory(prefix="studio-replay-") as folder:
        sys.stdout.write(replay(json.load(sys.stdin), Path(folder)))


if __name__ == "__main__":
    main()
