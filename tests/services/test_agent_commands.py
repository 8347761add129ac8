"""Commands over a real broker: output streams while they run, one result each, nothing runs twice or unasked."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from services.agent_broker import NAME, Broker, Listener, configured, program, until
from services.agent_cases import in_memory

from agent import settings
from agent.commands import MOST_OUTPUT, Commands
from agent.logs import open_log
from agent.outbox import Outbox


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    yield from in_memory()


class Bench:
    """Commands without a connection: what would be said stays in the outbox."""

    def __init__(self, folder: Path, timeout: float = 30, **commands: list[str]) -> None:
        known = {name: {"argv": argv, "timeout_seconds": timeout} for name, argv in commands.items()}
        values = {
            "device_name": NAME,
            "mqtt": {"server": "mqtt://127.0.0.1", "username": "t"},
            "commands": known,
        }
        self.log = io.StringIO()
        log = open_log("json", stream=self.log)
        self.outbox = Outbox(folder, 100_000, log)
        self.commands = Commands(settings.parse(values, folder), self.outbox, log)

    def ask(self, request: str, action: str) -> None:
        payload = {"request_id": request, "action": action, "params": {"n": 1}}
        self.commands.take(f"camera/{NAME}/cmd/{action}", json.dumps(payload).encode())

    def said(self, request: str, use: str) -> list[dict[str, Any]]:
        topic = f"camera/{NAME}/run/{request}/{use}"
        return [json.loads(payload) for _, said, payload in self.outbox.after(0, 10**6) if said == topic]

    def result(self, request: str, seconds: float = 60) -> dict[str, Any]:
        until(lambda: self.said(request, "result"), seconds)
        return self.said(request, "result")[0]


def test_output_arrives_while_the_command_runs_and_a_result_ends_it(tmp_path: Path, broker: Broker) -> None:
    slow = {"slow": {"argv": ["sh", "-c", "echo one; sleep 5; echo two >&2"]}}
    configured(tmp_path, broker.port, commands=slow)
    run = f"camera/{NAME}/run/r-1"
    with Listener(broker.port) as listener, program(tmp_path):
        until(lambda: listener.of(f"camera/{NAME}/telemetry"), 60)
        listener.say(f"camera/{NAME}/cmd/slow", '{"request_id": "r-1", "action": "slow"}')
        until(lambda: listener.of(f"{run}/chunk"), 60)
        assert not listener.of(f"{run}/result"), "the first output came before the end"
        until(lambda: listener.of(f"{run}/result"), 60)
    chunks = [json.loads(payload) for payload in listener.of(f"{run}/chunk")]
    assert [(c["seq"], c["data"]) for c in chunks] == [(0, "one\n"), (1, "two\n")]
    (result,) = (json.loads(payload) for payload in listener.of(f"{run}/result"))
    assert result["outcome"] == "ok"
    assert 4900 < result["data"].pop("duration_ms") < 60_000
    assert result["data"] == {"exit_code": 0, "bytes": 8, "chunks": 2}


def test_a_retained_command_is_not_run(tmp_path: Path, broker: Broker) -> None:
    configured(tmp_path, broker.port, commands={"touch": {"argv": ["touch", str(tmp_path / "touched")]}})
    with Listener(broker.port) as listener:
        listener.say(f"camera/{NAME}/cmd/touch", '{"request_id": "r-2", "action": "touch"}', retain=True)
        with program(tmp_path):
            until(lambda: listener.of(f"camera/{NAME}/telemetry"), 60)
            listener.say(f"camera/{NAME}/cmd/ping", '{"request_id": "r-3", "action": "ping"}')
            until(lambda: listener.of(f"camera/{NAME}/run/r-3/result"), 60)
        listener.say(f"camera/{NAME}/cmd/touch", "", retain=True)
    assert not (tmp_path / "touched").exists()
    assert not listener.of(f"camera/{NAME}/run/r-2/result")


def test_a_command_that_fails_says_how(tmp_path: Path) -> None:
    bench = Bench(tmp_path, bad=["sh", "-c", "echo no >&2; exit 7"], missing=["/nonexistent"])
    bench.ask("a", "bad")
    bench.ask("b", "missing")
    assert (bench.result("a")["outcome"], bench.result("a")["data"]["exit_code"]) == ("error", 7)
    assert bench.result("a")["message"] == "it ended with 7"
    assert bench.said("a", "chunk")[0]["data"] == "no\n"
    assert bench.result("b")["outcome"] == "error"
    assert bench.result("b")["message"] == "the program /nonexistent is not there"


def test_only_what_the_device_knows_is_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hello=["echo"])
    bench.ask("a", "sh")
    assert bench.result("a") == {
        "outcome": "error",
        "message": "refused: this device has no such command; it has ping, hello",
    }


def test_a_command_reads_its_parameters_from_its_input_never_from_its_arguments(tmp_path: Path) -> None:
    bench = Bench(tmp_path, show=["cat"])
    bench.ask("a", "show")
    assert bench.result("a")["outcome"] == "ok"
    assert json.loads(bench.said("a", "chunk")[0]["data"]) == {"n": 1}


def test_the_same_request_again_is_answered_and_not_run_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, count=["sh", "-c", f"echo x >> {tmp_path}/runs"])
    bench.ask("a", "count")
    first = bench.result("a")
    bench.ask("a", "count")
    until(lambda: len(bench.said("a", "result")) == 2, 30)
    assert bench.said("a", "result") == [first, first]
    assert (tmp_path / "runs").read_text() == "x\n"
    bench.outbox.close()
    again = Bench(tmp_path, count=["sh", "-c", f"echo x >> {tmp_path}/runs"])
    again.ask("a", "count")
    assert (tmp_path / "runs").read_text() == "x\n", "also after a restart of the agent"


def test_thingsboards_numbers_begin_anew_with_each_session_and_are_no_repetitions(tmp_path: Path) -> None:
    values = {"platform": "thingsboard", "device_name": NAME, "mqtt": {"server": "mqtt://127.0.0.1", "username": "t"}}
    log = open_log("json", stream=io.StringIO())
    box = Outbox(tmp_path, 100, log)
    for _ in range(2):
        Commands(settings.parse(values, tmp_path), box, log).take("v1/devices/me/rpc/request/1", b'{"method": "ping"}')
    assert [topic for _, topic, _ in box.after(0, 10)] == ["v1/devices/me/rpc/response/1"] * 2


def test_a_command_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    bench = Bench(tmp_path, timeout=1.5, stuck=["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; wait"])
    bench.ask("a", "stuck")
    result = bench.result("a")
    assert (result["outcome"], result["message"]) == ("error", "timeout: killed after 1.5 s")
    child = int((tmp_path / "pid").read_text())
    until(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split(), 30)


def test_endless_output_is_cut_and_the_result_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path, much=["head", "-c", str(3 * MOST_OUTPUT), "/dev/zero"])
    bench.ask("a", "much")
    result = bench.result("a")
    assert result["outcome"] == "ok"
    assert (result["data"]["bytes"], result["data"]["truncated"]) == (3 * MOST_OUTPUT, True)
    chunks = bench.said("a", "chunk")
    assert sum(len(chunk["data"]) for chunk in chunks) == MOST_OUTPUT
    assert [chunk["seq"] for chunk in chunks] == list(range(len(chunks)))


def test_bytes_that_are_no_text_do_not_stop_it_even_across_chunks(tmp_path: Path) -> None:
    bench = Bench(tmp_path, odd=["sh", "-c", r"printf '\303'; sleep 0.6; printf '\251 \377'"])
    bench.ask("a", "odd")
    assert bench.result("a")["outcome"] == "ok"
    assert "".join(chunk["data"] for chunk in bench.said("a", "chunk")) == "é \ufffd"


def test_no_more_than_two_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, nap=["sleep", "0.8"])
    for request in ("a", "b", "c"):
        bench.ask(request, "nap")
    assert bench.result("c")["message"] == "refused: 2 commands are running already"
    assert bench.result("a")["outcome"] == bench.result("b")["outcome"] == "ok"


def test_a_command_that_the_agents_own_end_cut_short_is_told_at_the_next_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.outbox.begin_run("a", "slow")
    bench.outbox.close()
    again = Bench(tmp_path)
    again.commands.recover()
    assert again.result("a")["message"] == "the agent was ended while it ran"
    again.commands.recover()
    assert len(again.said("a", "result")) == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'{"action": null}',
        b'{"action": "a b"}',
        b'{"action": "ping"}',
        b'{"action": "ping", "request_id": null}',
        b'{"action": "ping", "request_id": "a\\r\\nb"}',
        b'{"action": "ping", "request_id": "../../x"}',
        b'{"action": "ping", "request_id": "a", "request_id": "b"}',
        json.dumps({"action": "ping", "request_id": "x" * 10_000}).encode(),
        b'{"action": "' + b"x" * 65536 + b'"}',
        b"\0\xff",
        b"[" * 60_000,
    ],
)
def test_what_is_not_a_command_is_logged_and_nothing_else(tmp_path: Path, payload: bytes) -> None:
    bench = Bench(tmp_path)
    bench.commands.take(f"camera/{NAME}/cmd/r", payload)
    (line,) = bench.log.getvalue().splitlines()
    assert json.loads(line)["event"] == "command refused"
    assert bench.outbox.waiting == 0


def test_many_commands_leave_no_process_and_no_open_file(tmp_path: Path) -> None:
    bench = Bench(tmp_path, true=["true"])
    before = len(list(Path("/proc/self/fd").iterdir()))
    begun = time.monotonic()
    for number in range(20):
        bench.ask(str(number), "true")
        bench.result(str(number))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    assert time.monotonic() - begun < 30


def test_a_command_whose_result_nobody_is_told_has_ended_no_less(tmp_path: Path) -> None:
    values = {"device_name": NAME, "mqtt": {"server": "mqtt://127.0.0.1", "username": "t"}, "topics": {"result": None}}
    log = open_log("json", stream=io.StringIO())
    box = Outbox(tmp_path, 100, log)
    Commands(settings.parse(values, tmp_path), box, log).take("t", b'{"request_id": "a", "action": "ping"}')
    assert box.unfinished_runs() == []
    assert box.waiting == 0


@pytest.mark.parametrize("left", ["sleep 60", "setsid sleep 60"])
def test_what_a_command_leaves_running_does_not_hold_its_result_back(tmp_path: Path, left: str) -> None:
    bench = Bench(tmp_path, start=["sh", "-c", f"{left} & echo done; exit 3"])
    bench.ask("a", "start")
    result = bench.result("a")
    assert (result["message"], result["data"]["exit_code"]) == ("it ended with 3", 3)
    assert [chunk["data"] for chunk in bench.said("a", "chunk")] == ["done\n"]
