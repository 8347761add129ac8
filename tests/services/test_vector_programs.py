"""The rendered VRL, run by Vector's own compiler and runtime: its unit tests, hostile labels, arbitrary payloads."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vector_support import VrlPython, vrl_python, write_vector

from studio.model import Studio
from studio.paths import INVENTORIES

pytestmark = pytest.mark.services

HOSTILE = [
    'a "quoted" label',
    "back\\slash \\n \\u{41}",
    "{{ furnace }} \\{{ x \\}}",
    "${HOME} $HOME $$ %%",
    "SECRET[s.broker-vector]",
    "ünïcödé 🔥 \u200f",
    "comma, equals = space",
    "'); DROP TABLE furnaces; --",
    "# comment\u00a0| pipe & <xml/>",
]
DROP_REASONS = {"unknown_device", "not_json", "wrong_type", "missing_value", "implausible", "bad_timestamp", "too_old"}
DROP_REASONS |= {"in_the_future", "unknown_topic", "too_large"}


def studio(label: str = "Main", unit: str = "C") -> Studio:
    return Studio.model_validate(
        {
            "name": "glassworks",
            "furnaces": [{"id": "main", "label": label, "unit": unit, "low": 1000, "high": 1200}],
            "cameras": [{"id": "eye", "label": label}],
            "plants": [{"id": "fern", "label": label}],
        }
    )


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VrlPython]:
    with vrl_python(tmp_path_factory.mktemp("vector")) as found:
        yield found


def inventory(name: str) -> Studio:
    return Studio.model_validate(yaml.safe_load((INVENTORIES / f"{name}.yaml").read_text()))


STUDIOS = {"lab": inventory("lab"), "rosewood": inventory("rosewood"), "fahrenheit": studio(unit="F")}


@pytest.mark.parametrize("name", STUDIOS)
def test_the_configuration_is_valid_and_its_unit_tests_pass(python: VrlPython, name: str) -> None:
    files = write_vector(STUDIOS[name], python.place)
    valid = python.vector("validate", "--no-environment", "--deny-warnings", files["vector"])
    assert valid.returncode == 0, valid.stdout + valid.stderr
    tested = python.vector("test", files["vector"], files["tests"])
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert tested.stdout.count(" ... passed") >= 35
    assert "failed" not in tested.stdout


def edited(python: VrlPython, seen: str, old: str, new: str) -> None:
    path = python.place.root / seen.removeprefix("/")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


WRONG = {
    "a limit": ("vrl/furnace.vrl", "celsius > 2000.0", "celsius > 9000.0", "furnace: implausible"),
    "a conversion": ("vrl/furnace.vrl", "bool!(burner) { 1 }", "bool!(burner) { 2 }", "furnace: all values"),
    "a minimum": ("vector.yaml", "flame_voltage_min: min", "flame_voltage_min: max", "flame_second: one event"),
    "a route": ("vector.yaml", r"\Apipeline/canary\z", r"\Apipeline/other\z", "by_kind: canary"),
    "a reason": ("vrl/payload.vrl", '"too_old"', '"old"', "furnace: too_old"),
    "a label": ("vrl/camera.vrl", "device.label", "id", "camera: three temperatures"),
    "the sampling": ("vector.yaml", "threshold: 5", "threshold: 6", "dead_letter_sample: five a minute"),
    "a time": ("vrl/payload.vrl", "millis * 1000 }", "millis * 1001 }", "furnace: all values, time in seconds"),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_unit_tests_notice_what_is_wrong(python: VrlPython, what: str) -> None:
    files = write_vector(studio(), python.place)
    name, old, new, failing = WRONG[what]
    edited(python, files["vector"].replace("vector.yaml", name), old, new)
    tested = python.vector("test", files["vector"], files["tests"])
    assert tested.returncode == 78
    assert any(
        line.startswith(f"test {failing}") and line.endswith(" ... failed") for line in tested.stdout.splitlines()
    )


def test_a_program_that_does_not_compile_is_named(python: VrlPython) -> None:
    files = write_vector(studio(), python.place)
    edited(
        python, files["vector"].replace("vector.yaml", "vrl/furnace.vrl"), "celsius = to_float!(temp)", "celsius = ("
    )
    refused = python.vector("validate", "--no-environment", files["vector"])
    assert refused.returncode == 78
    assert 'Transform "furnace"' in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_missing_secret_is_named_and_a_present_one_never_shown(python: VrlPython) -> None:
    files = write_vector(studio(), python.place)
    for password in ("", "hunter2' \n x: ["):
        (python.place.folder / "vector-host/secrets/broker-vector").write_text(password)
        refused = python.vector("--config-yaml", files["vector"])
        assert refused.returncode == 78
        assert "hunter2" not in refused.stderr + refused.stdout
        assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["graph"],
        ["--quiet"],
        ["validate", "--skip-healthchecks"],
        ["tap", "--format", "yaml"],
        ["top", "--human-metrics"],
    ],
)
def test_commands_it_does_not_have_are_refused(python: VrlPython, arguments: list[str]) -> None:
    refused = python.vector(*arguments)
    assert refused.returncode == 78
    assert "stand-in" in refused.stderr


def test_it_says_that_it_is_a_stand_in(python: VrlPython) -> None:
    assert "STAND-IN" in python.vector("--version").stdout


@dataclass
class Probe:
    """Takes messages through the transforms in the Python that has vector-vrl."""

    process: subprocess.Popen[str]

    def fates(self, messages: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
        assert self.process.stdin
        assert self.process.stdout
        request = [[topic, base64.b64encode(payload).decode()] for topic, payload in messages]
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer: list[dict[str, Any]] = json.loads(self.process.stdout.readline())
        return answer

    def fate(self, topic: str, payload: bytes) -> dict[str, Any]:
        return self.fates([(topic, payload)])[0]


def start_probe(python: VrlPython, studio: Studio) -> Probe:
    files = write_vector(studio, python.place)
    script = python.place.folder / "vector_probe.py"
    shutil.copyfile(Path(__file__).parent / "vector_probe.py", script)
    argv = python.place.command(python.python, python.place.seen(script), files["vector"])
    process = subprocess.Popen(argv, env=python.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return Probe(process)


@pytest.fixture(scope="module")
def probe(python: VrlPython) -> Iterator[Probe]:
    found = start_probe(python, studio())
    yield found
    found.process.kill()
    found.process.wait()


TOPICS = ["furnace/main/telemetry", "furnace/main/flame", "camera/eye/telemetry", "plant/fern/state", "pipeline/canary"]
TOPICS += ["furnace/nobody/telemetry", "camera//telemetry", "furnace/main", "", "plant/fern/state/more"]
FIELDS = ["furnace_temp", "flame_voltage", "burner", "ts", "temp_max", "temp_min", "moisture", "battery", "sent", "x"]
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([0, 1100, -60, 2001, 3.3, int(time.time()), 1e300]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=8,
)
PAYLOADS = st.one_of(
    st.binary(max_size=300),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6).map(lambda value: json.dumps(value).encode()),
)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(topic=st.sampled_from(TOPICS), payload=PAYLOADS)
def test_every_message_is_a_series_line_or_one_counted_dead_letter(probe: Probe, topic: str, payload: bytes) -> None:
    fate = probe.fate(topic, payload)
    assert len(fate["series"]) + len(fate["dead"]) == 1, fate
    for reason, kind in fate["dead"]:
        assert reason in DROP_REASONS
        assert kind in {"furnace", "flame", "camera", "plant", "canary", "unknown"}
    for line in fate["series"]:
        assert line.isprintable() or line.endswith("\n")
        assert line.count("\n") == 1
        assert '"' not in line.replace('\\"', "")  # text would become a series of zeros
        assert ",studio=glassworks" in line


def test_the_strategies_reach_both_fates(probe: Probe) -> None:
    good = [
        ("furnace/main/telemetry", b"1100"),
        ("furnace/main/flame", b"3.3"),
        ("camera/eye/telemetry", b'{"temp_max": 900, "x": "ignored"}'),
        ("plant/fern/state", b'{"moisture": 31, "battery": null}'),
        ("pipeline/canary", b'{"sent": %d}' % (time.time() * 1000)),
    ]
    fates = probe.fates(good)
    assert all(len(fate["series"]) == 1 and not fate["dead"] for fate in fates), fates
    bad = [("furnace/main", b"1"), ("furnace/nobody/telemetry", b"1"), ("furnace/main/telemetry", b"\xff\xfe\x00")]
    assert [fate["dead"] for fate in probe.fates(bad)] == [
        [["unknown_topic", "unknown"]],
        [["unknown_device", "furnace"]],
        [["not_json", "furnace"]],
    ]


@pytest.mark.parametrize("label", HOSTILE)
def test_a_hostile_label_breaks_nothing_and_arrives_as_it_is(python: VrlPython, label: str) -> None:
    found = start_probe(python, studio(label))
    try:
        (fate,) = found.fates([("furnace/main/telemetry", b"1100")])
    finally:
        found.process.kill()
        found.process.wait()
    escaped = "".join(f"\\{c}" if c in "\\, =" else c for c in label)
    assert fate["dead"] == []
    assert fate["series"][0].startswith(f"furnace,furnace=main,label={escaped},studio=glassworks furnace_temp=1100 ")


def test_hostile_labels_pass_the_unit_tests(python: VrlPython) -> None:
    files = write_vector(studio(" ".join(HOSTILE)[:80].strip()), python.place)
    tested = python.vector("test", files["vector"], files["tests"])
    assert tested.returncode == 0, tested.stdout + tested.stderr
