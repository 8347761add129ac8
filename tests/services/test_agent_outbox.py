"""Store and forward: nothing lost up to the bound, in order, nothing twice once it was acknowledged."""

import contextlib
import io
import itertools
import json
import os
import resource
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from services.agent_broker import NAME, Broker, Listener, configured, program, until
from services.agent_cases import in_memory
from standins.thingsboard_standin import Device, ThingsboardStandin

from agent import outbox, run, settings
from agent.commands import Commands
from agent.errors import DiskError, InputError, UnreachableError
from agent.link import WINDOW, Link
from agent.logs import open_log
from agent.outbox import Outbox

TOPIC = f"camera/{NAME}/telemetry"


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    yield from in_memory()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    yield made
    made.stop()


def found(port: int, tmp_path: Path, platform: str = "studio") -> settings.Settings:
    values = {
        "platform": platform,
        "device_name": NAME,
        "mqtt": {"server": f"mqtt://127.0.0.1:{port}", "username": "token"},
        "telemetry": {"interval_seconds": 10, "source": {"simulator": True}},
    }
    return settings.parse(values, tmp_path)


class Worker:
    """The connection alone, over an outbox that the test fills."""

    def __init__(self, port: int, tmp_path: Path, box: Outbox, platform: str = "studio") -> None:
        log = open_log("json", stream=io.StringIO())
        chosen = found(port, tmp_path, platform)
        self.link = Link(chosen, box, Commands(chosen, box, log), log)

    def __enter__(self) -> Link:
        self.link.thread.start()
        return self.link

    def __exit__(self, *_: object) -> None:
        self.link.stop(15)


def box(tmp_path: Path, most: int = 100_000) -> Outbox:
    return Outbox(tmp_path, most, open_log("json", stream=io.StringIO()))


def numbers(listener: Listener) -> list[int]:
    return [json.loads(payload)["n"] for payload in listener.of(TOPIC)]


def test_an_hour_without_a_broker_is_delivered_afterwards_whole_in_order_and_once(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count(1_800_000_000, 10)
    monkeypatch.setattr(time, "time", lambda: float(next(seconds)))
    waiting = box(tmp_path)
    chosen, log = found(broker.port, tmp_path), open_log("json", stream=io.StringIO())
    for _ in range(360):
        run.sample(chosen, waiting, log)
    monkeypatch.undo()
    assert waiting.waiting == 360
    broker.start()
    with Listener(broker.port, TOPIC) as listener:
        with Worker(broker.port, tmp_path, waiting):
            until(lambda: waiting.waiting == 0, 20)
        with Worker(broker.port, tmp_path, waiting):
            waiting.add(TOPIC, {"last": 1})
            until(lambda: waiting.waiting == 0, 20)
        until(lambda: len(listener.heard) >= 361, 5)
    heard = [json.loads(payload) for payload in listener.of(TOPIC)]
    start = heard[0]["ts"]
    assert [reading.get("ts") for reading in heard] == [start + 10_000 * n for n in range(360)] + [None]


def test_an_hour_without_thingsboard_is_stored_there_with_the_times_of_the_readings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThingsboardStandin({}) as server:
        server.devices[NAME] = Device(NAME, "ACCESS_TOKEN", "token")
        chosen, log = found(server.port, tmp_path, platform="thingsboard"), open_log("json", stream=io.StringIO())
        waiting = box(tmp_path)
        seconds = itertools.count(1_800_000_000, 10)
        monkeypatch.setattr(time, "time", lambda: float(next(seconds)))
        for _ in range(360):
            run.sample(chosen, waiting, log)
        monkeypatch.undo()
        with Worker(server.port, tmp_path, waiting, platform="thingsboard"):
            until(lambda: waiting.waiting == 0, 60)
        first = server.telemetry[0].ts
        assert [sample.ts for sample in server.telemetry] == [first + 10_000 * n for n in range(360)]
        assert 1_800_000_000_000 <= first < 1_800_000_010_000
        assert all("temp_max" in sample.values and "ts" not in sample.values for sample in server.telemetry)
        assert server.unsupported == []


@pytest.mark.parametrize("moment", ["device-publish", "device-puback", "device-connack"])
def test_a_broker_that_restarts_again_and_again_costs_nothing_but_a_few_repetitions(
    tmp_path: Path, moment: str
) -> None:
    """The server notes what it takes; it restarts before it takes a message, or before it acknowledges one."""
    with ThingsboardStandin({}) as server:
        server.devices[NAME] = Device(NAME, "ACCESS_TOKEN", "token")
        restarts = [137, 61, 1] if moment != "device-connack" else [2, 1]
        steps = iter(range(1, 10**6))

        def hook(now: str) -> str | None:
            if now == moment and restarts and next(steps) % restarts[-1] == 0:
                restarts.pop()
                return "restart"
            return None

        server.hook = hook
        waiting = box(tmp_path)
        for n in range(300):
            waiting.add("v1/devices/me/telemetry", {"n": n})
        with Worker(server.port, tmp_path, waiting, platform="thingsboard"):
            until(lambda: waiting.waiting == 0, 30)
        taken = [json.loads(payload) for _, topic, payload in server.published if topic.endswith("telemetry")]
        heard = [message["n"] for message in taken]
        assert not restarts
        assert list(dict.fromkeys(heard)) == list(range(300)), "all of them, each for the first time in order"
        assert len(heard) - 300 <= 3 * WINDOW


def test_an_agent_that_is_killed_sends_after_its_restart_what_it_had_not_sent(tmp_path: Path, broker: Broker) -> None:

    directory = configured(tmp_path / "agent", broker.port)
    with program(directory) as process:
        until(lambda: (directory / outbox.FILE).exists() and waiting_in(directory) >= 5, 15)
        process.kill()
    before = waiting_in(directory)
    assert before >= 5
    broker.start()
    with Listener(broker.port, TOPIC) as listener, program(directory):
        until(lambda: len(listener.of(TOPIC)) > before, 15)
    times = [json.loads(payload)["ts"] for payload in listener.of(TOPIC)]
    assert times == sorted(times)
    assert len(set(times)) == len(times)


def waiting_in(directory: Path) -> int:
    with sqlite3.connect(directory / outbox.FILE) as database:
        try:
            return int(database.execute("SELECT count(*) FROM message").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def test_beyond_the_bound_the_oldest_are_dropped_counted_and_told(tmp_path: Path, broker: Broker) -> None:
    waiting = box(tmp_path, most=100)
    for n in range(250):
        waiting.add(TOPIC, {"n": n})
    assert (waiting.waiting, waiting.dropped) == (100, 150)
    waiting.close()
    waiting = box(tmp_path, most=100)
    assert (waiting.waiting, waiting.dropped) == (100, 150), "also after a restart"
    broker.start()
    with Listener(broker.port) as listener, Worker(broker.port, tmp_path, waiting):
        until(lambda: len(numbers(listener)) == 100, 10)
        assert numbers(listener) == list(range(150, 250))
        state = json.loads(listener.of(f"camera/{NAME}/state")[0])
    assert (state["state"], state["waiting"], state["dropped"]) == ("online", 100, 150)


def test_a_full_disk_loses_the_newest_reading_only_and_says_so(tmp_path: Path) -> None:
    waiting = box(tmp_path)
    waiting._database.execute("PRAGMA max_page_count = 12")
    kept = next(n for n in range(10_000) if not fits(waiting, n))
    with pytest.raises(DiskError, match=r"outbox\.db: database or disk is full"):
        waiting.add(TOPIC, {"n": kept, "padding": "x" * 500})
    assert [json.loads(p)["n"] for _, _, p in waiting.after(0, 10_000)] == list(range(kept))
    assert waiting.waiting == kept
    waiting.done([number for number, _, _ in waiting.after(0, 10)])
    waiting.add(TOPIC, {"n": kept})
    assert waiting.waiting == kept - 9


def test_what_failed_at_the_commit_is_not_counted_as_waiting(tmp_path: Path) -> None:
    waiting = box(tmp_path)
    waiting.add(TOPIC, {"n": 0})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / f"{outbox.FILE}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 2000, before[1]))
    try:
        for n in range(3):
            with pytest.raises(DiskError, match="disk I/O error"):
                waiting.add(TOPIC, {"n": n, "padding": "x" * 5000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert waiting.waiting == 1
    waiting.add(TOPIC, {"n": 1})
    assert waiting.waiting == len(waiting.after(0, 10)) == 2


def fits(waiting: Outbox, number: int) -> bool:
    try:
        waiting.add(TOPIC, {"n": number, "padding": "x" * 500})
    except DiskError:
        return False
    return True


def test_a_damaged_outbox_is_set_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    (tmp_path / outbox.FILE).write_bytes(b"not a database" * 1000)
    waiting = box(tmp_path)
    waiting.add(TOPIC, {"n": 1})
    assert waiting.waiting == 1
    assert (tmp_path / "outbox.damaged").read_bytes() == b"not a database" * 1000


@pytest.mark.parametrize("page", range(2, 12))
def test_an_outbox_damaged_in_any_page_is_set_aside_and_never_ends_the_agent(tmp_path: Path, page: int) -> None:
    waiting = box(tmp_path)
    for number in range(100):
        waiting.add(TOPIC, {"n": number, "padding": "x" * 500})
    waiting.close()
    with (tmp_path / outbox.FILE).open("r+b") as file:
        file.seek(4096 * (page - 1))
        assert file.read(4096).strip(b"\0"), "there is something to damage"
        file.seek(4096 * (page - 1))
        file.write(bytes(4096))
    fresh = box(tmp_path)
    assert fresh.waiting == 0
    fresh.add(TOPIC, {"n": 1})
    assert [number for number, _, _ in fresh.after(0, 10)] == [1]
    assert (tmp_path / "outbox.damaged").exists()


def test_something_else_in_the_outboxs_place_is_told_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / outbox.FILE)
    with pytest.raises(InputError, match=r"outbox\.db is not a regular file\. Take it away"):
        box(tmp_path)


def test_only_the_agents_account_may_read_it(tmp_path: Path) -> None:
    box(tmp_path).add(TOPIC, {})
    assert {p.stat().st_mode & 0o77 for p in tmp_path.glob("outbox.db*")} == {0}


class LastWords:
    """A connection on which the broker acknowledges all at the very end: when it closes, or after a farewell."""

    def __init__(self, *, closes: bool) -> None:
        self.closes = closes
        self.sent: list[int] = []
        self.heard: list[int] = []
        self.inbox: list[object] = []

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        self.sent.append(len(self.sent) + 1)
        return self.sent[-1]

    def subscribe(self, topic: str, seconds: float) -> None:
        pass

    def turn(self, seconds: float) -> None:
        if self.closes:
            self.heard = self.sent
            raise UnreachableError("the connection was lost", "none")
        time.sleep(0.01)

    def finish(self, number: int, seconds: float) -> None:
        self.heard = self.sent

    def acknowledged(self) -> list[int]:
        taken, self.heard = self.heard, []
        return taken

    def waiting(self) -> list[object]:
        taken, self.inbox = self.inbox, []
        return taken


@pytest.mark.parametrize("closes", [True, False])
def test_what_is_acknowledged_as_the_connection_ends_is_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closes: bool
) -> None:
    connection = LastWords(closes=closes)
    monkeypatch.setattr("agent.link.session", lambda *_, **__: contextlib.nullcontext(connection))
    waiting = box(tmp_path)
    for n in range(5):
        waiting.add(TOPIC, {"n": n})
    with Worker(1, tmp_path, waiting):
        until(lambda: len(connection.sent) >= 6, 30)
    assert waiting.waiting == 0


def test_a_command_that_comes_last_before_the_connection_is_lost_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = LastWords(closes=True)
    ping = b'{"request_id": "a", "action": "ping"}'
    connection.inbox.append(SimpleNamespace(topic="command", payload=ping, retain=False))
    monkeypatch.setattr("agent.link.session", lambda *_, **__: contextlib.nullcontext(connection))
    waiting = box(tmp_path)
    with Worker(1, tmp_path, waiting):
        until(lambda: (waiting.result_of("a") or {}).get("outcome") == "ok", 30)


@pytest.mark.parametrize(
    ("platform", "message"),
    [("studio", {"temp_max": 1.0, "ts": 7}), ("thingsboard", {"ts": 7, "values": {"temp_max": 1.0}})],
)
def test_a_reading_tells_its_time_as_the_platform_takes_it(platform: str, message: dict[str, object]) -> None:
    assert run.timed({"temp_max": 1.0}, 7, platform) == message
    assert run.timed({"temp_max": 1.0}, None, platform) == {"temp_max": 1.0}
