"""The lab's stand-in of Vector, the parts that need no VRL: what it refuses, and how it keeps and writes things."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from vector_standin import config as standin_config
from vector_standin.buffers import DiskBuffer, MemoryBuffer
from vector_standin.delivery import Backoff
from vector_standin.disk import HEADER, DiskQueue
from vector_standin.event import Log, Metric, rfc3339, template
from vector_standin.influx import line
from vector_standin.reduce import Reduce
from vector_standin.schema import Refused
from vector_standin.telemetry import Component, Telemetry
from vector_standin.throttle import Throttle

from studio.model import Studio
from studio.render.vector import config as rendered

STUDIO = Studio.model_validate({"name": "s", "furnaces": [{"id": "main", "low": 1000, "high": 1200}]})


def component(kind: str = "sink", type_: str = "x") -> Component:
    return Component(Telemetry(), "it", kind, type_)


def value(component: Component, name: str) -> float:
    return sum(metric.value for metric in component.telemetry.metrics() if metric.name == name)


def load(tmp_path: Path, content: Any, **options: bool) -> dict[str, Any]:
    path = tmp_path / "vector.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return standin_config.load([path], secrets=options.get("secrets", False))[0]


def refusals(tmp_path: Path, content: Any, **options: bool) -> str:
    with pytest.raises(Refused) as refused:
        load(tmp_path, content, **options)
    return str(refused.value)


# What it takes and what it refuses


def test_the_rendered_configuration_is_taken_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "vector.yaml"
    path.write_text(yaml.dump(json.loads(json.dumps(rendered(STUDIO)))))
    _, warnings = standin_config.load([path], secrets=False)
    assert warnings == []


def set_(*keys: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        part = config
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = to

    return change


REFUSED = {
    "an option": (set_("enrichment_tables", to={}), "enrichment_tables: this option is not implemented"),
    "a key of the API": (set_("api", "playground", to=True), "api.playground: this key is not implemented"),
    "a source": (set_("sources", "broker", "type", to="kafka"), "sources.broker.type: the source 'kafka' is not"),
    "a key of a source": (set_("sources", "broker", "tls", to={}), "sources.broker.tls: this key is not implemented"),
    "a transform": (set_("transforms", "flame", "type", to="lua"), "transforms.flame.type: the transform 'lua' is not"),
    "a key of a transform": (
        set_("transforms", "flame", "timezone", to="local"),
        "transforms.flame.timezone: this key",
    ),
    "a merge strategy": (
        set_("transforms", "flame_second", "merge_strategies", "second", to="concat"),
        "transforms.flame_second.merge_strategies.second: 'concat' is not implemented",
    ),
    "a kind of metric": (
        set_("transforms", "dead_letter_count", "metrics", to=[{"type": "histogram", "field": "x"}]),
        "transforms.dead_letter_count.metrics[0].type: the metric 'histogram' is not",
    ),
    "a sink": (set_("sinks", "metrics", "type", to="loki"), "sinks.metrics.type: the sink 'loki' is not"),
    "a key of a sink": (set_("sinks", "camera_series", "tls", to={}), "sinks.camera_series.tls: this key is not"),
    "a key deep down": (
        set_("sinks", "camera_series", "request", "concurrency", to="adaptive"),
        "sinks.camera_series.request.concurrency: this key is not implemented",
    ),
    "a full buffer's way": (
        set_("sinks", "camera_series", "buffer", "when_full", to="overflow"),
        "sinks.camera_series.buffer.when_full: 'overflow' is not implemented",
    ),
    "too small a disk buffer": (
        set_("sinks", "camera_series", "buffer", "max_size", to=1000),
        "sinks.camera_series.buffer.max_size: 1000 is below the least value, 268435488",
    ),
    "a codec": (set_("sinks", "dead_letter_log", "encoding", to={"codec": "text"}), "encoding.codec: 'text' is not"),
    "a wrong type": (set_("sources", "broker", "port", to="1883"), "sources.broker.port: a whole number is needed"),
    "a flag that is none": (
        set_("transforms", "flame", "drop_on_error", to="yes"),
        "true or false is needed, not a string",
    ),
    "a missing key": (
        lambda c: c["sinks"]["camera_series"].pop("measurement"),
        "camera_series.measurement: is missing",
    ),
    "an unknown input": (set_("sinks", "metrics", "inputs", to=["nothing"]), "'nothing' is no output of any component"),
    "a wildcard": (set_("sinks", "metrics", "inputs", to=["flame*"]), "wildcards are not implemented"),
    "a secret backend": (set_("secret", "s", "type", to="exec"), "secret.s.type: the secret backend 'exec' is not"),
    "a circle": (set_("transforms", "by_kind", "inputs", to=["flame_mean"]), "feed one another in a circle"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_whatever_it_does_not_implement_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    config = json.loads(json.dumps(rendered(STUDIO)))
    change(config)
    said = refusals(tmp_path, config)
    assert message in said
    assert "vector.yaml: " in said


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    config = json.loads(json.dumps(rendered(STUDIO)))
    config["api"]["playground"] = True
    config["sources"]["broker"]["tls"] = {}
    assert len(refusals(tmp_path, config).splitlines()) == 2


@pytest.mark.parametrize("text", ["a: [", "- 1", "\x00"])
def test_what_is_no_yaml_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "vector.yaml" in refusals(tmp_path, text)


def test_the_same_component_twice_is_refused(tmp_path: Path) -> None:
    paths = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for path in paths:
        path.write_text("sources: {internal: {type: internal_metrics}}")
    with pytest.raises(Refused, match=r"sources\.internal is given twice"):
        standin_config.load(paths, secrets=False)


def test_an_output_that_nobody_takes_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "vector.yaml"
    path.write_text("sources: {internal: {type: internal_metrics}}")
    assert standin_config.load([path], secrets=False)[1] == ['"internal" has no consumers']


@pytest.mark.parametrize("wrong", ["user: u", "password: p", "client_id: ''"])
def test_a_source_needs_a_client_id_and_user_and_password_together(tmp_path: Path, wrong: str) -> None:
    source = yaml.safe_load("{type: mqtt, host: h, client_id: c}")
    load(tmp_path, {"sources": {"b": source}})
    assert "sources.b" in refusals(tmp_path, {"sources": {"b": {**source, **yaml.safe_load(wrong)}}})


# Secrets


def with_secret(tmp_path: Path, text: str, quoted: bool = True) -> dict[str, Any]:
    (tmp_path / "pw").write_text(text)
    reference = "'SECRET[s.pw]'" if quoted else "SECRET[s.pw]"
    return load(
        tmp_path,
        f"secret: {{s: {{type: directory, path: {tmp_path}, remove_trailing_whitespace: true}}}}\n"
        f"sources:\n  b:\n    type: mqtt\n    host: h\n    client_id: c\n    user: u\n    password: {reference}\n",
        secrets=True,
    )


@pytest.mark.parametrize("password", ["hunter2", "123456", "1e5", "true"])
def test_a_quoted_secret_stays_text(tmp_path: Path, password: str) -> None:
    assert with_secret(tmp_path, f"{password}\n")["sources"]["b"]["password"] == password


def test_an_unquoted_secret_of_digits_is_a_number_as_in_vector(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"sources\.b\.password: a string is needed, not a number"):
        with_secret(tmp_path, "123456", quoted=False)


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="secret in file 'pw' was empty"):
        with_secret(tmp_path, "\n")


def test_a_secret_that_breaks_the_yaml_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        with_secret(tmp_path, "it's: {hunter2")
    assert "hunter2" not in str(refused.value)
    assert "line 8: this is not YAML" in str(refused.value)


def test_a_missing_secret_or_backend_is_refused(tmp_path: Path) -> None:
    config = f"secret: {{s: {{type: directory, path: {tmp_path}}}}}\n# SECRET[s.none] SECRET[other.x]\n"
    said = refusals(tmp_path, config, secrets=True)
    assert "secret 'none' of backend 's' cannot be read" in said
    assert "secret backend 'other' is not configured" in said


# Line protocol


def test_a_line_has_sorted_tags_numbers_and_nanoseconds() -> None:
    fields = {"studio": "s", "label": "a b", "furnace_temp": 1100.0, "burner": 1, "on": True, "f": 0.5}
    text = line(Log(fields, at=1_772_366_400_000_000_001), "furnace", {"studio", "label"}, ["metric_type"])
    assert text == "furnace,label=a\\ b,studio=s furnace_temp=1100,burner=1i,on=true,f=0.5 1772366400000000001\n"


def test_the_sink_adds_the_tags_that_vector_adds() -> None:
    fields = {"host": "h", "source_type": "mqtt", "v": 1.5}
    assert line(Log(fields, 1), "m", set(), []) == "m,host=h,metric_type=logs,source_type=mqtt v=1.5 1\n"


@pytest.mark.parametrize(
    ("value", "written"),
    [(1e21, "1" + "0" * 21), (3e-7, "0.0000003"), (-0.25, "-0.25"), (-3, "-3i"), ('a"\\', '"a\\"\\\\"')],
)
def test_fields_are_written_as_rust_writes_them(value: Any, written: str) -> None:
    assert line(Log({"v": value}, 1), "m", set(), ["metric_type"]) == f"m v={written} 1\n"


def test_special_characters_of_tags_are_escaped_and_empty_tags_left_out() -> None:
    text = line(Log({"t": "a,b=c d\\", "e": "", "v": 1}, 1), "m", {"t", "e"}, ["metric_type"])
    assert text == "m,t=a\\,b\\=c\\ d\\\\ v=1i 1\n"


def test_nested_fields_are_flattened() -> None:
    assert line(Log({"a": {"b": 1, "c": [2, 3]}}, 1), "m", set(), ["metric_type"]) == "m a.b=1i,a.c[0]=2i,a.c[1]=3i 1\n"


def test_a_line_without_a_field_is_none() -> None:
    assert line(Log({"t": "x"}, 1), "m", {"t"}, ["metric_type"]) is None


# Back-off


def test_back_off_is_fibonacci_up_to_the_longest() -> None:
    backoff = Backoff(1, 30, "None")
    assert [backoff.next() for _ in range(10)] == [1, 2, 3, 5, 8, 13, 21, 30, 30, 30]


def test_full_jitter_is_never_longer() -> None:
    plain, jittered = Backoff(1, 3, "None"), Backoff(1, 3, "Full")
    assert all(0 < jittered.next() <= plain.next() for _ in range(100))


# Transforms that time matters to


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def reduce_(clock: Clock, **changes: Any) -> Reduce:
    config = {
        "group_by": ["g"],
        "expire_after_ms": 2000,
        "end_every_period_ms": None,
        "flush_period_ms": 500,
        "merge_strategies": {"timestamp": "discard", "low": "min", "high": "max", "n": "sum"},
    }
    return Reduce({**config, **changes}, component("transform"), clock)


def test_reduce_merges_a_group_until_it_is_quiet() -> None:
    clock = Clock()
    reduce = reduce_(clock)
    for at, v in ((1, 3.0), (2, 1.5), (3, 4.5)):
        reduce.run([Log({"g": "a", "low": v, "high": v, "n": 1}, at)])
        clock.now += 1.9
        assert not reduce.tick(final=False).by_port
    clock.now += 0.6
    assert reduce.tick(final=False).by_port == {None: [Log({"g": "a", "low": 1.5, "high": 4.5, "n": 3}, 1)]}
    clock.now += 10
    assert not reduce.tick(final=False).by_port


def test_reduce_keeps_groups_apart_and_flushes_all_at_the_end() -> None:
    reduce = reduce_(Clock())
    reduce.run([Log({"g": g, "n": 1}, 1) for g in ("a", 1, "1", "a")])
    merged = reduce.tick(final=True).by_port[None]
    assert [(e.fields["g"], e.fields["n"]) for e in merged if isinstance(e, Log)] == [("a", 2), (1, 1), ("1", 1)]


def test_reduce_can_end_a_group_by_its_age() -> None:
    clock = Clock()
    reduce = reduce_(clock, end_every_period_ms=1000)
    reduce.run([Log({"g": "a", "n": 1}, 1)])
    clock.now += 1
    assert reduce.tick(final=False).by_port


def test_reduce_refuses_vector_s_default_for_timestamps() -> None:
    with pytest.raises(Refused, match=r"merge_strategies\.timestamp"):
        reduce_(Clock(), merge_strategies={})


def test_throttle_lets_so_many_of_each_key_through() -> None:
    clock = Clock()
    it = component("transform")
    throttle = Throttle({"key_field": "{{ k }}", "threshold": 2, "window_secs": 10}, it, clock)
    events = [Log({"k": k}) for k in ("a", "a", "a", "b")]
    assert len(throttle.run(events).by_port[None]) == 3
    assert value(it, "component_discarded_events_total") == 1
    clock.now += 5
    assert len(throttle.run(events).by_port[None]) == 2


def test_templates_name_fields() -> None:
    assert template("{{ a }} is {{b}}", {"a": "x", "b": 2}) == "x is 2"
    assert template("{{ c }}", {"a": "x"}) is None


def test_times_are_written_in_rfc_3339() -> None:
    assert rfc3339(1_772_366_400_000_000_000) == "2026-03-01T12:00:00Z"
    assert rfc3339(1_772_366_400_120_000_000) == "2026-03-01T12:00:00.12Z"


# Buffers


def test_what_was_not_acknowledged_is_read_again(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path)
    queue.append([b"a", b"b", b"c"])
    assert queue.read(2) == [b"a", b"b"]
    queue.acknowledge(1)
    reopened = reopen(queue, tmp_path)
    assert reopened.count == 2
    assert reopened.read(9) == [b"b", b"c"]


def reopen(queue: DiskQueue, folder: Path) -> DiskQueue:
    queue.release()
    return DiskQueue(folder)


def test_a_torn_record_is_cut_off(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path)
    queue.append([b"whole"])
    queue.release()
    with (tmp_path / "buffer-data-0.dat").open("ab") as file:
        file.write(HEADER.pack(100, zlib.crc32(b"torn")) + b"to")
    reopened = DiskQueue(tmp_path)
    reopened.append([b"next"])
    assert reopened.read(9) == [b"whole", b"next"]


@pytest.mark.parametrize(
    "ledger", ["", "{", "[]", '{"segment": 7, "acknowledged": 3}', '{"segment": 0, "acknowledged": 99}']
)
def test_a_damaged_ledger_loses_nothing_but_its_place(tmp_path: Path, ledger: str) -> None:
    queue = DiskQueue(tmp_path)
    queue.append([b"a"])
    queue.release()
    (tmp_path / "ledger.json").write_text(ledger)
    reopened = DiskQueue(tmp_path)
    reopened.append([b"b"])
    assert reopened.read(9)[-1:] == [b"b"]


def test_two_programs_cannot_have_one_buffer(tmp_path: Path) -> None:
    held = DiskQueue(tmp_path)
    with pytest.raises(Refused, match="another process holds this buffer"):
        DiskQueue(tmp_path)
    held.release()


STEP = st.one_of(
    st.tuples(st.just("append"), st.lists(st.binary(max_size=40), min_size=1, max_size=5)),
    st.tuples(st.just("read"), st.integers(1, 6)),
    st.tuples(st.just("acknowledge"), st.integers(0, 6)),
    st.tuples(st.just("reopen"), st.none()),
)


@settings(deadline=None)
@given(steps=st.lists(STEP, max_size=40))
def test_a_disk_queue_behaves_as_a_queue(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("queue")
    queue = DiskQueue(folder, segment_bytes=64)
    kept: list[bytes] = []
    read = 0
    for step, with_ in steps:
        if step == "append":
            queue.append(with_)
            kept += with_
        elif step == "read":
            got = queue.read(with_)
            assert got == kept[read : read + len(got)]
            assert bool(got) == (read < len(kept))
            read += len(got)
        elif step == "acknowledge":
            done = min(with_, read)
            queue.acknowledge(done)
            kept, read = kept[done:], read - done
        else:
            queue.release()
            queue = DiskQueue(folder, segment_bytes=64)
            read = 0
        assert queue.count == len(kept)
        assert queue.size == sum(HEADER.size + len(record) for record in kept)
    queue.release()


def test_a_full_memory_buffer_drops_when_told_to() -> None:
    it = component()
    buffer = MemoryBuffer(it, 2, block=False)
    buffer.put([Log({"n": n}) for n in range(3)])
    assert [e.fields["n"] for e in buffer.take(9, 0.01) if isinstance(e, Log)] == [0, 1]
    assert value(it, "component_discarded_events_total") == 1
    buffer.acknowledge(2)
    assert value(it, "buffer_events") == 0


def test_a_full_disk_buffer_drops_when_told_to(tmp_path: Path) -> None:
    it = component()
    buffer = DiskBuffer(it, tmp_path, 200, block=False)
    buffer.put([Log({"n": n}) for n in range(50)])
    taken = buffer.take(99, 0.01)
    assert 0 < len(taken) < 50
    assert value(it, "component_discarded_events_total") == 50 - len(taken)
    buffer.close()


def test_telemetry_forgets_what_is_not_updated() -> None:
    telemetry = Telemetry(expire_seconds=-1)
    telemetry.add("x_total", {})
    assert telemetry.metrics() == []
    kept = Telemetry()
    kept.add("x_total", {"a": "b"}, 2)
    (metric,) = kept.metrics()
    assert isinstance(metric, Metric)
    assert (metric.name, metric.value, metric.absolute, ("a", "b") in metric.tags) == ("x_total", 2, True, True)
