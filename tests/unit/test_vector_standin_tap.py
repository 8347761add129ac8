"""The lab's stand-in of Vector, looked into: tap, top, and the histograms of its own metrics."""

import json
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from urllib.request import urlopen

import pytest
from vector_standin import tap, top
from vector_standin.api import TAP, answer, components
from vector_standin.event import Log, Metric
from vector_standin.exporter import PrometheusExporter, serve
from vector_standin.histogram import Histogram
from vector_standin.tapping import Consumer, Taps
from vector_standin.telemetry import Component, Telemetry

Output = pytest.CaptureFixture[str]
CONFIG: dict[str, Any] = {
    "sources": {"broker": {"type": "mqtt"}, "internal": {"type": "internal_metrics"}},
    "transforms": {},
    "sinks": {"store": {"type": "influxdb_logs", "inputs": ["broker"]}},
}
SOON = {"limit": ["2"], "interval": ["100"]}


class Outputs:
    """What a topology is to a tap, without the transforms, which need VRL."""

    def __init__(self) -> None:
        self.consumers: dict[str, list[Consumer]] = {"broker": [], "internal": []}

    def connect(self, output: str, consumer: Consumer) -> None:
        self.consumers[output].append(consumer)

    def disconnect(self, output: str, consumer: Consumer) -> None:
        self.consumers[output].remove(consumer)

    def emit(self, output: str, events: list[Log]) -> None:
        for consumer in self.consumers[output]:
            consumer(events)


@pytest.fixture
def topology() -> Outputs:
    return Outputs()


def line(lines: Iterator[bytes]) -> dict[str, Any]:
    """The next that is not empty."""
    found: dict[str, Any] = json.loads(next(text for text in lines if text.strip()))
    return found


def test_a_tap_gives_what_passes_with_whose_it_is_and_leaves_when_nobody_listens(topology: Outputs) -> None:
    kept: list[Log] = []
    topology.connect("broker", kept.extend)
    lines = Taps(CONFIG, topology).lines({"outputs": ["broker"], **SOON})
    assert line(lines) == {"notification": "[tap] Pattern 'broker' successfully matched."}
    assert next(lines) == b"\n", "nothing has passed yet"
    topology.emit("broker", [Log({"n": n}) for n in range(5)])
    topology.emit("internal", [Log({"n": 9})])
    whose = {"component_id": "broker", "component_kind": "source", "component_type": "mqtt"}
    assert [line(lines), line(lines)] == [{**whose, "event": {"n": n}} for n in range(2)]
    assert next(lines) == b"\n", "no more than the limit"
    assert len(kept) == 5, "the pipeline gets them all"
    lines.close()
    assert len(topology.consumers["broker"]) == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"outputs": ["*"]}, ["'*' successfully matched.", "Output pattern '*' matches sinks [\"store\"]"]),
        ({"outputs": ["furnance"]}, ["'furnance' failed to match: will retry on configuration reload."]),
        ({"inputs": ["store"]}, ["'store' successfully matched."]),
        (
            {"inputs": ["broker"]},
            ["'broker' failed to match", "source inputs cannot be tapped. Input pattern 'broker'"],
        ),
    ],
)
def test_what_is_said_of_patterns_is_what_vector_says(
    asked: dict[str, list[str]], said: list[str], topology: Outputs
) -> None:
    lines = Taps(CONFIG, topology).lines({**asked, **SOON})
    told = []
    while (text := next(lines)).strip():
        told.append(json.loads(text)["notification"])
    assert [part for part, whole in zip(said, told, strict=True) if part not in whole] == []


@pytest.fixture
def url(topology: Outputs) -> Iterator[Callable[[bool], str]]:
    """The API of a stand-in whose health is as it is told, and through which an event passes now and then."""
    telemetry, healthy, stop = Telemetry(), True, threading.Event()
    Component(telemetry, "broker", "source", "mqtt").received(3)
    taps = Taps(CONFIG, topology)
    server = serve(("127.0.0.1", 0), lambda path: answer(path, lambda: healthy, taps, telemetry))

    def pass_on() -> None:
        while not stop.wait(0.02):
            topology.emit("broker", [Log({"furnace": "main"})])

    def at(well: bool) -> str:
        nonlocal healthy
        healthy = well
        return f"http://127.0.0.1:{server.server_address[1]}"

    passing = threading.Thread(target=pass_on)
    passing.start()
    yield at
    stop.set()
    passing.join()
    server.shutdown()
    server.server_close()


def test_the_command_prints_events_and_ends_when_its_time_is_over(url: Callable[[bool], str], capsys: Output) -> None:
    assert tap.main(["broker", "--url", url(True), "--interval", "100", "--duration-ms", "300", "--meta"]) == 0
    told = capsys.readouterr()
    assert told.err == "[tap] Pattern 'broker' successfully matched.\n"
    assert json.loads(told.out.splitlines()[0]) == {
        "component_id": "broker", "component_kind": "source", "component_type": "mqtt", "event": {"furnace": "main"}
    }  # fmt: skip
    assert tap.main(["--quiet", "--url", url(True), "-i", "100", "-d", "200", "-l", "1"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert set(told.out.splitlines()) == {'{"furnace":"main"}'}


def test_an_api_that_is_not_there_or_not_healthy_is_told(url: Callable[[bool], str], capsys: Output) -> None:
    assert tap.main(["--url", url(False)]) == 69
    assert "Vector API server isn't reachable" in capsys.readouterr().err
    assert tap.main(["--url", "http://127.0.0.1:9"]) == 69


def test_the_apis_paths(url: Callable[[bool], str]) -> None:
    with urlopen(f"{url(True)}/health") as health:
        assert health.read() == b'{"ok":true}'
    with urlopen(f"{url(True)}{TAP}?outputs=broker&limit=1&interval=100") as stream:
        assert b"successfully matched" in stream.readline()


@pytest.mark.parametrize(
    ("command", "words"),
    [(tap, ["--format", "yaml"]), (tap, ["--interval", "50"]), (tap, ["-x"]), (top, ["--sort-field", "id"])],
)
def test_what_it_does_not_implement_is_refused(command: ModuleType, words: list[str], capsys: Output) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert ended.value.code == 78
    assert "this stand-in implements only what --help shows" in capsys.readouterr().err


def test_top_needs_a_terminal_as_vectors_does(capsys: Output) -> None:
    assert top.main([]) == 74
    assert capsys.readouterr().err == "Terminal must be a teletype (TTY) to display a Vector dashboard.\n"


def test_top_draws_totals_and_rates() -> None:
    telemetry = Telemetry()
    broker = Component(telemetry, "broker", "source", "mqtt")
    broker.received(10)
    before = components(telemetry)
    broker.received(4)
    broker.error("x", "receiving")
    head, row = top.table(before, components(telemetry), 2.0)
    assert head.split()[:3] == ["ID", "Kind", "Type"]
    assert row.split() == ["broker", "source", "mqtt", "14", "(2/s)", "N/A", "N/A", "N/A", "1"]


def test_a_histogram_has_vectors_buckets_and_its_page_is_cumulative() -> None:
    held = Histogram()
    for value, times in ((0.0, 1), (0.001, 2), (1.0, 1), (5000.0, 1)):
        held.record(value, times)
    found = dict(held.cumulative())
    assert len(found) == 26
    assert list(found)[0::25] == ["0.000244140625", "+Inf"]
    assert [found[edge] for edge in ("0.000244140625", "0.0009765625", "0.001953125", "1", "4096", "+Inf")] == [
        1, 1, 3, 4, 4, 5
    ]  # fmt: skip


def test_latency_is_a_histogram_and_a_smoothed_gauge_by_component() -> None:
    telemetry = Telemetry()
    it = Component(telemetry, "furnace", "transform", "remap")
    it.passed(1.0, 3)
    it.passed(0.0, 1)
    it.passed(9.0, 0)
    found = {metric.name: metric for metric in telemetry.metrics()}
    assert found["component_latency_mean_seconds"].value == pytest.approx(0.1)
    exporter = PrometheusExporter(
        {"address": "127.0.0.1:0", "flush_period_secs": 60}, Component(Telemetry(), "metrics", "sink", "x")
    )
    exporter._take(list[Metric | Log](found.values()))
    exporter._take(list[Metric | Log](found.values()))
    page = {(s.name, s.labels.get("le")): s.value for family in exporter.collect() for s in family.samples}
    assert page["vector_component_latency_seconds_count", None] == 4
    assert page["vector_component_latency_seconds_sum", None] == 3
    assert page["vector_component_latency_seconds_bucket", "0.5"] == 1
    assert page["vector_component_latency_seconds_bucket", "1"] == 4
