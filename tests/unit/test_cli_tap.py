"""studio tap and studio top: what runs on the host, and what is said when it cannot."""

import json
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from studio.cli import tap
from studio.cli.app import run
from studio.host import terminal
from studio.model import load_studio

Output = pytest.CaptureFixture[str]
# Answers hostctl's status with what is in the file `status`, notes every other command and runs it as said.
SSH = """#!/bin/sh
for last; do :; done
case "$last" in
  *hostctl*status*) cat "$(dirname "$0")/status"; exit 0 ;;
esac
printf '%s\\n' "$@" > "$(dirname "$0")/argv"
{does}
"""


class Far:
    """A studio on a host behind an ssh of our own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inventory = folder / "far.yaml"
        self.inventory.write_text(
            "name: far\nhost: {address: far.example, login: artist, user: glass}\nports: {vector_api: 8999}\n"
            "furnaces:\n  - {id: main, low: 1, high: 2}\n"
        )
        self.vector("active")
        self.does("exit 0")

    def vector(self, state: str) -> None:
        found = {"components": [{"name": "vector", "state": state}]}
        (self.folder / "status").write_text(json.dumps(found))

    def does(self, lines: str) -> None:
        program = self.folder / "ssh"
        program.write_text(SSH.format(does=lines))
        program.chmod(0o755)

    @property
    def argv(self) -> list[str]:
        return (self.folder / "argv").read_text().splitlines()

    @property
    def asked(self) -> bool:
        return (self.folder / "argv").exists()


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Far:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return Far(tmp_path)


@pytest.fixture
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tap, terminal):
        monkeypatch.setattr(module, "has_terminal", lambda: True)


def test_tap_runs_vectors_own_in_its_container_with_all_that_is_given(far: Far, capfd: Output) -> None:
    far.does("echo '{\"furnace_temp\": 1105.2}'")
    assert run(["tap", str(far.inventory), "furnace", "--limit", "3", "--format", "json"]) == 0
    assert far.argv[-1].endswith(
        " sh /usr/local/bin/vector tap --url http://127.0.0.1:8999 furnace --limit 3 --format json; fi"
    )
    assert " glass --interactive vector sh -c " in far.argv[-1]
    assert "-t" not in far.argv
    assert "--tty" not in far.argv[-1]
    assert capfd.readouterr().out == '{"furnace_temp": 1105.2}\n'


@pytest.mark.usefixtures("at_a_terminal")
def test_top_gets_a_terminal_on_both_ways(far: Far) -> None:
    assert run(["top", str(far.inventory), "--interval", "500"]) == 0
    assert far.argv[0] == "-t"
    assert "podman exec --interactive --tty vector" not in far.argv[-1], "the shell puts the words there"
    assert (
        "glass --interactive --tty vector /usr/local/bin/vector top --url http://127.0.0.1:8999 --interval 500"
        in (far.argv[-1])
    )


def test_the_containers_account_runs_podman_and_words_stay_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, does in {
        "runuser": 'shift 3; exec "$@"',
        "podman": 'printf "%s\\n" "$HOME" "$XDG_RUNTIME_DIR" "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    studio = load_studio("lab").model_copy()
    studio = studio.model_copy(update={"host": studio.host.model_copy(update={"user": "nobody"})})
    said = subprocess.run(
        tap.argv(studio, "tap", ["a b", "$(id)"], terminal=False), capture_output=True, text=True, check=True
    )
    home, runtime, *words = said.stdout.splitlines()
    assert (home, runtime) == ("/nonexistent", "/run/user/65534")
    assert words[:7] == ["exec", "--interactive", "vector", "sh", "-c", tap.WHILE_READ, "sh"]
    assert words[7:] == ["/usr/local/bin/vector", "tap", "--url", "http://127.0.0.1:8686", "a b", "$(id)"]


def test_in_the_container_a_command_ends_by_itself_with_its_code() -> None:
    words = [
        "sh",
        "-c",
        tap.WHILE_READ,
        "sh",
        "sh",
        "-c",
        'read -r line || echo "nothing to read: $1"; exit 7',
        "-",
        "a b",
    ]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.read() == "nothing to read: a b\n"
        assert process.wait(10) == 7


def test_in_the_container_a_command_is_ended_when_nobody_is_left(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    does = f"echo $$ > {note}.new && mv {note}.new {note}; exec sleep 600"
    words = ["sh", "-c", tap.WHILE_READ, "sh", "sh", "-c", does]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        until = time.monotonic() + 20
        while not note.exists() and time.monotonic() < until:
            time.sleep(0.02)
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(20) == 128 + signal.SIGTERM
    assert not Path(f"/proc/{note.read_text().strip()}").exists()


def test_top_without_a_terminal_says_so(far: Far, capfd: Output) -> None:
    assert run(["top", str(far.inventory)]) == 2
    assert capfd.readouterr().err == (
        "studio: studio top draws on a terminal, and this is none; studio tap works in a pipe\n"
    )
    assert not far.asked


@pytest.mark.parametrize("state", ["inactive", "failed", "activating"])
def test_a_vector_that_does_not_run_is_told(state: str, far: Far, capfd: Output) -> None:
    far.vector(state)
    assert run(["tap", str(far.inventory)]) == 1
    assert f"studio: far: Vector is not running ({state}): see `studio status far`" in capfd.readouterr().err
    assert not far.asked


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["furnac"], "Vector has no component with an output 'furnac'; did you mean furnace? There are: broker, "),
        (["furnace,nothing-like-it"], "no component with an output 'nothing-like-it'; there are: broker, "),
        (["--outputs-of", "furnace_series"], "Vector has no component with an output 'furnace_series'"),
        (["--inputs-of=broker"], "Vector has no component with inputs 'broker'; there are: by_kind, "),
        (["by_kind"], "no component with an output 'by_kind'; did you mean by_kind."),
    ],
)
def test_a_component_that_is_none_is_told_before_the_host_is_asked(
    words: list[str], message: str, far: Far, capfd: Output
) -> None:
    assert run(["tap", str(far.inventory), *words]) == 2
    told = capfd.readouterr().err
    assert told.startswith("studio: far: ")
    assert message in told
    assert told.count("\n") == 1
    assert not far.asked


@pytest.mark.usefixtures("at_a_terminal")
def test_top_knows_the_components_too(far: Far, capfd: Output) -> None:
    assert run(["top", str(far.inventory), "-c", "by_kind,furnance"]) == 2
    assert "Vector has no component 'furnance'; did you mean furnace? There are: broker, " in capfd.readouterr().err
    assert run(["top", str(far.inventory), "-c", "*_series", "--interval", "500"]) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["by_kind.*", "--limit", "3", "-q"],
        ["furnace,dead_letter", "--interval", "200", "--format", "json"],
        ["--inputs-of", "*_series", "--outputs-of", "furnace.dropped", "-d", "5000"],
        ["--limit"],
    ],
)
def test_patterns_options_and_what_vector_must_refuse_itself_are_passed_on(words: list[str], far: Far) -> None:
    assert run(["tap", str(far.inventory), *words]) == 0
    assert far.argv[-1].endswith(f" {' '.join(shlex.quote(word) for word in words)}; fi")


def test_vectors_own_error_ends_the_command_with_1(far: Far, capfd: Output) -> None:
    far.does("echo 'error: unexpected argument' >&2; exit 2")
    assert run(["tap", str(far.inventory), "--nonsense"]) == 1
    told = capfd.readouterr().err
    assert "error: unexpected argument" in told
    assert "studio: far: `vector tap` ended with exit code 2" in told


def test_ctrl_c_is_the_usual_end(far: Far) -> None:
    far.does("exit 130")
    assert run(["tap", str(far.inventory)]) == 0


@pytest.mark.parametrize("end", ["exit 141", "kill -PIPE $$"])
def test_a_reader_who_has_seen_enough_is_no_failure(far: Far, capfd: Output, end: str) -> None:
    far.does(end)
    assert run(["tap", str(far.inventory)]) == 0
    assert capfd.readouterr().err == ""


def test_a_connection_that_breaks_ends_with_3(far: Far, capfd: Output) -> None:
    far.does("exit 255")
    assert run(["tap", str(far.inventory)]) == 3
    assert "the connection to artist@far.example over SSH failed or ended" in capfd.readouterr().err
