"""Replay rules next to the data; run as a program of its own on the host, with nothing but Python's standard library.

stdin: {"rules": {file: text}, "source": URL of the studio's storage, "match": a selector of what must be stored there,
"storage": argv, "vmalert": argv, "cleanup": argv, "from": RFC 3339, "to": RFC 3339, "keep": null or an object};
in an argv {folder} is a folder with the rules in rules/, and {port} a free port for the throw-away storage.
stdout: {"stored": epoch seconds of what is stored first of that time, or null, "alerts": the lines of /api/v1/export of
the ALERTS series from there on}. Exit code 1: stderr says why there are none.

"keep": {"series": names, "match": matchers, "seconds": between two samples, "lock": file} brings these series from the
throw-away storage into the studio's, but for the samples that are there already, and nothing else.
stdout is then {"stored": whether anything is stored of that time, "series": how many were, "samples": written}.
"""

import contextlib
import fcntl
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
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

READY_SECONDS = 60
STOP_SECONDS = 20
LAST_LINES = 5
GRAIN_SECONDS = 15


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fill(argv: list[str], folder: Path, port: int) -> list[str]:
    return [word.replace("{folder}", str(folder)).replace("{port}", str(port)) for word in argv]


def fail(what: str, log: Path) -> NoReturn:
    lines = log.read_text(errors="replace").splitlines()
    said = [line for line in lines if "\terror\t" in line or "\tfatal\t" in line or "\tpanic\t" in line] or lines
    # Without its time, level and place in the source.
    sys.exit("\n".join([what, *(line.split("\t", 3)[-1] for line in said[-LAST_LINES:])]))


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


def anything_stored(question: dict[str, Any], begin: float, end: float) -> bool:
    """Whether the studio's storage has something of that time; so it is taken where that cannot be asked."""
    times = {"start": f"{begin:.3f}", "end": f"{end:.3f}"}
    query = urllib.parse.urlencode({"match[]": question["match"], **times, "reduce_mem_usage": "1"})
    try:
        with urllib.request.urlopen(f"{question['source']}/api/v1/export?{query}", timeout=60) as answer:  # noqa: S310 - the operator's
            return bool(answer.read(1))
    except (OSError, ValueError):
        # vmalert asks next, and says what is wrong.
        return True


def first_stored(question: dict[str, Any]) -> float | None:
    """From which epoch second on something is stored of the time in question, give or take GRAIN_SECONDS."""
    begin, end = (datetime.fromisoformat(question[at]).timestamp() for at in ("from", "to"))
    if not anything_stored(question, begin, end):
        return None
    if anything_stored(question, begin, min(begin + GRAIN_SECONDS, end)):
        return begin
    while end - begin > GRAIN_SECONDS:
        middle = (begin + end) / 2
        begin, end = (begin, middle) if anything_stored(question, begin, middle) else (middle, end)
    return end


def flush(url: str) -> None:
    """Let what was written be found."""
    urllib.request.urlopen(f"{url}/internal/force_flush", timeout=60).close()  # noqa: S310 - loopback


def exported(url: str, match: str, **times: str) -> Iterator[bytes]:
    """The stored series as lines of JSON; a long one in several."""
    query = urllib.parse.urlencode({"match[]": match, **times})
    with urllib.request.urlopen(f"{url}/api/v1/export?{query}", timeout=60) as answer:  # noqa: S310 - loopback
        yield from answer


def missing(new: Iterable[bytes], stored: Iterable[bytes], seconds: int) -> Iterator[dict[str, Any]]:
    """The new samples in whose interval the same series has none stored, and no other new one."""
    had: dict[str, set[int]] = defaultdict(set)

    def known(series: dict[str, Any]) -> set[int]:
        return had[json.dumps(series["metric"], sort_keys=True)]

    for series in map(json.loads, stored):
        known(series).update(stamp // (seconds * 1000) for stamp in series["timestamps"])
    for series in map(json.loads, new):
        kept = {}
        for stamp, value in zip(series["timestamps"], series["values"], strict=True):
            interval = stamp // (seconds * 1000)
            if interval not in known(series):
                known(series).add(interval)
                kept[stamp] = value
        if kept:
            yield {"metric": series["metric"], "timestamps": list(kept), "values": list(kept.values())}


def fill_in(url: str, question: dict[str, Any]) -> dict[str, Any]:
    """Write what the studio's storage has not of the series that are kept; run again, that is nothing."""
    source, keep = question["source"], question["keep"]
    times = {"start": question["from"], "end": question["to"]}
    flush(source)
    # For ten seconds VictoriaMetrics remembers what series a selector has found: one that was never asked is not known.
    new = f'asked!="{time.time_ns()}"'
    written, samples = set(), 0
    for name in keep["series"]:
        stored = exported(source, f'{{__name__="{name}",{keep["match"]},{new}}}', **times)
        found = missing(exported(url, f'{{__name__="{name}"}}'), stored, keep["seconds"])
        lines = []
        for series in found:
            written.add(json.dumps(series["metric"], sort_keys=True))
            samples += len(series["values"])
            lines.append(json.dumps(series))
        if lines:
            body = "\n".join(lines).encode()
            urllib.request.urlopen(f"{source}/api/v1/import", data=body, timeout=60).close()  # noqa: S310 - loopback
    return {"stored": True, "series": len(written), "samples": samples}


def result(url: str, question: dict[str, Any], first: float) -> dict[str, Any]:
    flush(url)
    if question["keep"]:
        return fill_in(url, question)
    return {"stored": first, "alerts": b"".join(exported(url, 'ALERTS{alertstate="firing"}')).decode()}


@contextlib.contextmanager
def alone(keep: dict[str, Any] | None) -> Iterator[None]:
    """One at a time writes; the kernel frees the lock when its holder dies."""
    if not keep:
        yield
        return
    with Path(keep["lock"]).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("another back-fill is at work on this host: run it again when that is over")
        yield


def replay(question: dict[str, Any], folder: Path) -> dict[str, Any]:
    first = first_stored(question)
    if first is None:
        return {"stored": False, "series": 0, "samples": 0} if question["keep"] else {"stored": None, "alerts": ""}
    # What is kept has its grid; an alert is none where nothing was stored yet.
    since = question["from"] if question["keep"] else f"{datetime.fromtimestamp(first, UTC):%Y-%m-%dT%H:%M:%SZ}"
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
        times = [f"-replay.timeFrom={since}", f"-replay.timeTo={question['to']}"]
        done_log = folder / "vmalert.log"
        with done_log.open("wb") as said:
            argv = [*fill(question["vmalert"], folder, port), *times]
            done = subprocess.run(argv, stdout=said, stderr=said, check=False)
        if done.returncode:
            fail("vmalert could not replay:", done_log)
        return result(url, question, first)
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
    question = json.load(sys.stdin)
    with alone(question["keep"]), tempfile.TemporaryDirectory(prefix="studio-replay-") as folder:
        try:
            json.dump(replay(question, Path(folder)), sys.stdout)
        except urllib.error.URLError as error:
            sys.exit(f"VictoriaMetrics does not do what it is asked: {error}")


if __name__ == "__main__":
    main()
