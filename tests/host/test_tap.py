"""studio tap and studio top on a deployed host, with and without a terminal, as a person uses them."""

import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from deploy_support import REPOSITORY, StudioHost
from pipeline_support import MAIN, connected
from verify_support import PROGRAM, command

from lab import guest
from lab.run import wait_for

pytestmark = pytest.mark.lab
SECONDS = 60
CONTROL_C = b"\x03"


@dataclass
class Seen:
    """A command on the host: what it has said so far, and how to end it."""

    process: subprocess.Popen[bytes]
    file: int
    said: str = ""

    def says(self, pattern: str, seconds: float = SECONDS) -> re.Match[str]:
        """Wait for it."""
        until = time.monotonic() + seconds
        while not (found := re.search(pattern, self.said)):
            left = until - time.monotonic()
            assert left > 0, f"not within {seconds} s: {pattern}; it said: {self.said[-2000:]!r}"
            if select.select([self.file], [], [], left)[0]:
                part = os.read(self.file, 65536)
                assert part, f"it ended before {pattern}: {self.said[-2000:]!r}"
                self.said += part.decode(errors="replace")
        return found

    def press(self, key: bytes) -> int:
        """The exit code of a command that a key ends."""
        os.write(self.file, key)
        return self.process.wait(SECONDS)


def argv(studio: StudioHost, *words: str) -> list[str]:
    settings = {**studio.environment(), "TERM": "xterm"}
    return guest.enter(studio.host.name, [*PROGRAM, *words], settings, cwd=REPOSITORY)


@contextmanager
def at_a_terminal(studio: StudioHost, *words: str) -> Iterator[Seen]:
    ours, theirs = pty.openpty()
    controlled = ["setsid", "--ctty", "--wait", *argv(studio, *words)]
    process = subprocess.Popen(controlled, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        yield Seen(process, ours)
    finally:
        process.kill()
        process.wait(SECONDS)
        os.close(ours)


@contextmanager
def in_a_pipe(studio: StudioHost, *words: str) -> Iterator[Seen]:
    # Tests that a shell runs in the background ignore interrupts, and so would all that they start.
    interruptible = ["env", "--default-signal=INT", *argv(studio, *words)]
    process = subprocess.Popen(
        interruptible, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield Seen(process, process.stdout.fileno())
    finally:
        process.kill()
        process.wait(SECONDS)


def left_behind(studio: StudioHost) -> list[str]:
    """Taps and tops that still run on the host."""
    lines = studio.host.exec("ps -eo args").stdout.splitlines()
    return [line for line in lines if re.search(r"vector_standin (tap|top)|podman exec .*vector", line)]


def send(studio: StudioHost, celsius: float) -> None:
    with connected(studio, "device-main") as device:
        device.publish(MAIN, json.dumps({"furnace_temp": celsius}))


def test_tap_at_a_terminal_shows_a_furnaces_event_within_seconds_and_ends_by_ctrl_c(studio: StudioHost) -> None:
    with at_a_terminal(studio, "tap", "lab", "furnace") as seen:
        seen.says(r"\[tap\] Pattern 'furnace' successfully matched\.")
        began = time.monotonic()
        send(studio, 1117.25)
        event = json.loads(seen.says(r'\{[^\n]*"furnace_temp":1117\.25[^\n]*\}')[0])
        assert time.monotonic() - began < 15
        assert event["furnace"] == "main"
        assert event["label"] == "Main furnace"
        assert seen.press(CONTROL_C) == 0
        assert "Traceback" not in seen.said
    wait_for("nothing is left behind", lambda: not left_behind(studio))


def test_tap_in_a_pipe_gives_json_alone_and_an_interrupt_ends_it_on_the_host_too(studio: StudioHost) -> None:
    with in_a_pipe(studio, "tap", "lab", "--inputs-of", "furnace_series", "--quiet", "--meta") as seen:
        wait_for("it listens", lambda: left_behind(studio))
        began = time.monotonic()
        while '"furnace_temp":1118.5' not in seen.said:
            send(studio, 1118.5)
            if select.select([seen.file], [], [], 2)[0]:
                seen.said += os.read(seen.file, 65536).decode()
            assert time.monotonic() - began < SECONDS, seen.said
        first = json.loads(seen.said.splitlines()[0])
        assert first["component_id"] in {"furnace", "flame_mean"}
        # On the host, since what leads there would be ended by an interrupt itself.
        studio.host.exec("kill -INT $(pgrep -f 'studio[.]cli tap')")
        assert seen.process.wait(SECONDS) == 0
    wait_for("nothing is left behind", lambda: not left_behind(studio))


def test_top_draws_every_component_and_q_ends_it(studio: StudioHost) -> None:
    with at_a_terminal(studio, "top", "lab") as seen:
        for component in ("broker +source +mqtt", "furnace +transform +remap", "furnace_series +sink +influxdb_logs"):
            seen.says(component)
        seen.says(r"broker +source +mqtt +\d+ \([\d.e-]+/s\)")
        assert seen.press(b"q") == 0
    wait_for("nothing is left behind", lambda: not left_behind(studio))


def test_a_component_of_a_wrong_name_is_one_message(studio: StudioHost) -> None:
    done = command(studio, "tap", "lab", "furnance")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "studio: lab: Vector has no component with an output 'furnance'; did you mean furnace? "
    )
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_vector_that_does_not_run_is_told(studio: StudioHost) -> None:
    user = "systemctl --user -M studio@"
    studio.host.exec(f"{user} stop vector.service")
    try:
        done = command(studio, "tap", "lab", "furnace")
    finally:
        studio.host.exec(f"{user} start vector.service")
    assert done.returncode == 1
    assert "lab: Vector is not running (inactive)" in done.stderr
