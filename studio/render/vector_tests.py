"""Unit tests of the pipeline in Vector's own format (`vector test vector.yaml tests.yaml`), about the studio's devices.

A condition holds when any event fulfils it, so each test asserts all it has to say about an event in one condition,
and how many events there are.
"""

from collections.abc import Mapping
from typing import Final

from studio.model import Studio
from studio.render.vector_test_format import RECEIVED, Messages, Test, epoch, equals, extracted, inserted, unit_test
from studio.render.vrl import Value, string

TOPIC_KINDS: Final = ("furnace", "flame", "camera", "plant", "canary")
STRANGER: Final = "nobody-knows-me"


def _routes(studio: Studio) -> list[Test]:
    tests = []
    for kind in TOPIC_KINDS:
        topic = str(getattr(studio.topics, kind)).replace("{id}", "any")
        others = tuple(f"by_kind.{other}" for other in (*TOPIC_KINDS, "_unmatched") if other != kind)
        tests.append(
            unit_test(
                f"by_kind: {kind}",
                [inserted("by_kind", {"topic": topic, "message": "1"})],
                extracted(f"by_kind.{kind}", equals(".topic", topic)),
                silent=others,
            )
        )
    stray = [inserted("by_kind", {"topic": f"{kind}/a/b/c/d/e/f", "message": "1"}) for kind in ("furnace", "")]
    stray.append(inserted("by_kind", {"message": "a message without a topic"}))
    routes = tuple(f"by_kind.{kind}" for kind in TOPIC_KINDS)
    return [*tests, unit_test("by_kind: stray topics", stray, extracted("by_kind._unmatched", count=3), silent=routes)]


def _furnaces(studio: Studio) -> list[Test]:
    furnace = studio.furnaces[0]
    fahrenheit = furnace.unit == "F"
    messages = Messages(studio.topics, "furnace", furnace.id)
    hot = 2012 if fahrenheit else 1100
    base: dict[str, Value] = {
        "studio": studio.name,
        "furnace": furnace.id,
        "label": furnace.title,
        "furnace_temp": 1100.0,
    }
    everything = f'{{"furnace_temp": {hot}, "flame_voltage": 3.5, "burner": true, "ts": {RECEIVED - 60}, "fw": "1"}}'
    refused = {
        "not_json": ("", "{", "nan", '{"furnace_temp": NaN}', '{"furnace_temp": 1e999}', "\u0000"),
        "wrong_type": (
            "null",
            "true",
            '"1100"',
            "[1100]",
            '{"furnace_temp": "1100"}',
            '{"furnace_temp": true}',
            f'{{"furnace_temp": {hot}, "burner": "on"}}',
            f'{{"furnace_temp": {hot}, "flame_voltage": []}}',
        ),
        "missing_value": ("{}", '{"furnace_temp": null}', '{"flame_voltage": 3}'),
        "implausible": ("-60", "4000", "1e300", f'{{"furnace_temp": {hot}, "flame_voltage": 51}}'),
        "bad_timestamp": (
            f'{{"furnace_temp": {hot}, "ts": "yesterday"}}',
            f'{{"furnace_temp": {hot}, "ts": false}}',
            f'{{"furnace_temp": {hot}, "ts": 1e300}}',
        ),
        "too_old": (f'{{"furnace_temp": {hot}, "ts": 0}}', f'{{"furnace_temp": {hot}, "ts": {RECEIVED - 86401}}}'),
        "in_the_future": (f'{{"furnace_temp": {hot}, "ts": {RECEIVED + 301}}}',),
    }
    dropped = ".metadata.dropped.message"
    off_by_100: dict[str, Value] = {**base, "flame_voltage": 3.5, "burner": 1}
    iso = f'{{"furnace_temp": {hot}, "burner": false, "ts": "2026-03-01T13:59:00+02:00"}}'
    return [
        messages.sample("a bare number is the temperature", str(hot), base),
        messages.sample("all values, time in seconds", everything, off_by_100, at=RECEIVED - 60),
        messages.sample("time in RFC 3339", iso, {**base, "burner": 0}, at=RECEIVED - 60),
        messages.sample("time in milliseconds", f'{{"furnace_temp": {hot}, "ts": {RECEIVED}000}}', base),
        *(messages.refused(reason, *texts) for reason, texts in refused.items()),
        messages.long(
            "as long as a message may be", str(hot), "", extracted("furnace", equals(".furnace_temp", 1100.0))
        ),
        messages.long("too_large", str(hot), " ", extracted("furnace.dropped", equals(dropped, "too_large"))),
        Messages(studio.topics, "furnace", STRANGER).refused("unknown_device", str(hot), "{}"),
    ]


def _flames(studio: Studio) -> list[Test]:
    furnace = studio.furnaces[0]
    messages = Messages(studio.topics, "flame", furnace.id)
    tags: dict[str, Value] = {"studio": studio.name, "furnace": furnace.id, "label": furnace.title}

    def single(volts: float, samples: int = 1) -> dict[str, Value]:
        summary: dict[str, Value] = {f"flame_voltage_{name}": volts for name in ("sum", "min", "max")}
        return {**tags, "second": RECEIVED, **summary, "flame_voltage_samples": samples}

    def readings(*volts: float) -> list[Test]:
        return [inserted("flame_second", single(v)) for v in volts]

    merged = [equals(f".flame_voltage_{name}", value) for name, value in (("sum", 9.0), ("min", 1.5), ("max", 4.5))]
    merged += [equals(".flame_voltage_samples", 3), equals(".second", RECEIVED), equals(".furnace", furnace.id)]
    merged.append(f"assert_eq!(.timestamp, {epoch(RECEIVED)})")
    other = inserted("flame_second", {**single(7.0), "second": RECEIVED + 1}, RECEIVED + 1)
    mean = [equals(".flame_voltage", 3.0), equals(".flame_voltage_samples", 3), equals(".label", furnace.title)]
    mean += ["assert!(!exists(.second))", "assert!(!exists(.flame_voltage_sum))"]
    summary = {**single(9.0), "flame_voltage_min": 1.5, "flame_voltage_max": 4.5, "flame_voltage_samples": 3}
    return [
        messages.sample("a bare number is the voltage", "3", single(3.0)),
        messages.sample("an object", '{"flame_voltage": 3.25}', single(3.25)),
        messages.refused("wrong_type", '"3"', '{"flame_voltage": {}}'),
        messages.refused("missing_value", "{}"),
        messages.refused("implausible", "-5.1", "50.1"),
        messages.refused("not_json", "3,5"),
        Messages(studio.topics, "flame", STRANGER).refused("unknown_device", "3"),
        unit_test(
            "flame_second: one event a furnace and second",
            [*readings(3.0, 1.5, 4.5), other],
            extracted("flame_second", *merged, count=2),
        ),
        unit_test("flame_mean: mean of a second", [inserted("flame_mean", summary)], extracted("flame_mean", *mean)),
        unit_test(
            "flame_mean: no readings",
            [inserted("flame_mean", {**single(9.0, samples=0)})],
            extracted("flame_mean.dropped"),
            silent=("flame_mean",),
        ),
    ]


def _others(studio: Studio) -> list[Test]:
    tests = []
    for camera in studio.cameras[:1]:
        messages = Messages(studio.topics, "camera", camera.id)
        tags: dict[str, Value] = {"studio": studio.name, "camera": camera.id, "label": camera.title}
        three: dict[str, Value] = {"temp_max": 900.0, "temp_min": 20.5, "temp_mean": 400.0}
        text = '{"temp_max": 900, "temp_min": 20.5, "temp_mean": 400}'
        tests += [
            messages.sample("three temperatures", text, {**tags, **three}),
            messages.refused("wrong_type", "7", '{"temp_max": 900, "temp_min": "cold"}'),
            messages.refused("implausible", '{"temp_max": 2001}', '{"temp_max": 900, "temp_min": -51}'),
            messages.refused("missing_value", "{}", '{"temp_max": null}'),
        ]
    for plant in studio.plants[:1]:
        messages = Messages(studio.topics, "plant", plant.id)
        tags = {"studio": studio.name, "plant": plant.id, "label": plant.title}
        tests += [
            messages.sample("what it has", '{"moisture": 31, "light": 4}', {**tags, "moisture": 31.0, "light": 4.0}),
            messages.refused("wrong_type", '{"moisture": false}'),
            messages.refused("implausible", '{"temperature": -51}', '{"battery": -1}'),
            messages.refused("missing_value", '{"name": "fern"}'),
        ]
    canary = Messages(studio.topics, "canary")
    sent: dict[str, Value] = {"studio": studio.name, "canary_sent_seconds": float(RECEIVED)}
    return [
        *tests,
        Messages(studio.topics, "camera", STRANGER).refused("unknown_device", '{"temp_max": 900}'),
        Messages(studio.topics, "plant", STRANGER).refused("unknown_device", '{"moisture": 3}'),
        canary.sample("its time is the sample's", f'{{"sent": {RECEIVED}000}}', sent),
        canary.refused("missing_value", "{}"),
        canary.refused("bad_timestamp", '{"sent": "now"}'),
        canary.refused("wrong_type", f"{RECEIVED}000"),
    ]


def _dead_letters() -> list[Test]:
    stray: dict[str, Value] = {"topic": "t" * 500, "message": "m" * 500}
    dropped: dict[str, Value] = {"reason": "abort", "message": "not_json", "component_id": "furnace"}
    failed: dict[str, Value] = {"reason": "error", "message": "a failure", "component_id": "flame_mean"}

    def dead(name: str, fields: Mapping[str, Value], *said: str) -> Test:
        return unit_test(f"dead_letter: {name}", [inserted("dead_letter", fields)], extracted("dead_letter", *said))

    letter: dict[str, Value] = {"reason": "not_json", "kind": "furnace"}
    counted = [equals(".name", "dead_letters_total"), equals(".namespace", "vector"), equals(".tags.kind", "furnace")]
    counted += [equals(".tags.reason", "not_json"), equals(".kind", "incremental")]
    return [
        dead(
            "a stray topic, cut short",
            stray,
            *(equals(".reason", "unknown_topic"), equals(".kind", "unknown")),
            f"assert_eq!(.topic, {string('t' * 120)})",
            f"assert_eq!(.payload, {string('m' * 200)})",
        ),
        dead(
            "an abort names the reason",
            {**stray, "metadata": {"dropped": dropped}},
            *(equals(".reason", "not_json"), equals(".kind", "furnace"), "assert!(!exists(.detail))"),
        ),
        dead(
            "an error is only detail",
            {"metadata": {"dropped": failed}},
            *(equals(".reason", "error"), equals(".kind", "flame_mean"), equals(".detail", "a failure")),
        ),
        unit_test(
            "dead_letter_count: by reason and kind",
            [inserted("dead_letter_count", letter)],
            extracted("dead_letter_count", *counted),
        ),
        unit_test(
            "dead_letter_sample: five a minute",
            [inserted("dead_letter_sample", letter) for _ in range(8)],
            extracted("dead_letter_sample", equals(".reason", "not_json"), count=5),
        ),
    ]


def tests(studio: Studio) -> list[Test]:
    """The value of `tests` in Vector's configuration: at least one for every transform of `render_vector(studio)`."""
    return [*_routes(studio), *_furnaces(studio), *_flames(studio), *_others(studio), *_dead_letters()]
