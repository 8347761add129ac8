"""Vector's rendered configuration: built as data, the inventory's texts only as escaped VRL literals."""

import re
import string

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from studio.model import Studio
from studio.render.vector import CONFIG, MAX_PACKET_BYTES, SMALLEST_BUFFER, config, render_vector
from studio.render.vrl import assignments, literal
from studio.render.vrl import string as vrl_string

HOSTILE = """Bob's "big" \\ {{ furnace }} ${HOME} SECRET[s.broker-vector] é 🔥 #: - [x] `id`"""


def studio(label: str = "Main furnace", **changes: object) -> Studio:
    furnace = {"id": "main", "label": label, "low": 1000, "high": 1200}
    return Studio.model_validate({"name": "rosewood", "furnaces": [furnace], **changes})


def rendered(studio: Studio) -> dict[str, str]:
    return {path: artifact.content.decode() for path, artifact in render_vector(studio).items()}


def test_the_same_studio_gives_the_same_bytes() -> None:
    assert rendered(studio()) == rendered(studio())


def test_the_yaml_says_what_the_data_says() -> None:
    assert yaml.safe_load(rendered(studio())["vector/vector.yaml"]) == config(studio())


def test_a_label_is_in_vrl_programs_alone() -> None:
    files = rendered(studio("Zebra"))
    places = {path for path, text in files.items() if "Zebra" in text}
    assert places == {"vector/vrl/known_furnace.vrl", "vector/vrl/known_flame.vrl", "vector/tests.yaml"}


def test_no_hostile_text_is_in_any_file_as_it_is() -> None:
    quiet, hostile = rendered(studio("x")), rendered(studio(HOSTILE))
    assert quiet.keys() == hostile.keys()
    assert quiet["vector/vector.yaml"] == hostile["vector/vector.yaml"]
    for path in ("vector/vrl/known_furnace.vrl", "vector/vrl/known_flame.vrl", "vector/tests.yaml"):
        for bad in ("{{ furnace", "${", "SECRET[", "Bob's", "🔥", "`id`"):
            assert bad not in hostile[path], (path, bad)


@given(st.text(st.characters(codec="utf-8")))
def test_a_literal_is_plain_ascii_without_anything_that_means_something(text: str) -> None:
    written = vrl_string(text)
    assert written[0] == written[-1] == '"'
    assert set(written[1:-1]) <= set(string.ascii_letters + string.digits + " _-.,\\{}")
    assert re.sub(r"\\u\{([0-9a-f]+)\}", lambda found: chr(int(found[1], 16)), written[1:-1]) == text
    assert "{{" not in written


def test_literals_of_every_kind() -> None:
    assert literal({"a": [1, 2.5, True, None, "x/y"]}) == '{"a": [1, 2.5, true, null, "x\\u{2f}y"]}'
    with pytest.raises(TypeError):
        literal(object())  # type: ignore[arg-type]


def test_an_empty_mapping_stays_one() -> None:
    assert assignments("none", {"devices": {}}) == "# none\ndevices = {}\n"


def test_every_program_that_is_named_is_there() -> None:
    files = rendered(studio())
    transforms = config(studio())["transforms"].values()
    named = {path for t in transforms for path in [*t.get("files", []), *([t["file"]] if "file" in t else [])]}
    assert named
    assert {path.replace(CONFIG, "vector") for path in named} == {p for p in files if p.endswith(".vrl")}


def test_every_transform_and_every_output_has_a_test() -> None:
    tests = yaml.safe_load(rendered(studio())["vector/tests.yaml"])["tests"]
    assert {given["insert_at"] for test in tests for given in test["inputs"]} >= {
        *("by_kind", "furnace", "flame", "canary", "camera", "plant"),
        *("flame_second", "flame_mean", "dead_letter", "dead_letter_count", "dead_letter_sample"),
    }
    watched = {output["extract_from"] for test in tests for output in test["outputs"]}
    consumed = {i for t in config(studio())["transforms"].values() for i in t["inputs"]} - {"broker"}
    assert consumed <= watched


def test_every_test_asserts_something() -> None:
    for test in yaml.safe_load(rendered(studio())["vector/tests.yaml"])["tests"]:
        assert any(o["conditions"] or o["expected_event_count"] for o in test["outputs"]), test["name"]


def test_every_dropped_event_becomes_a_dead_letter() -> None:
    transforms = config(studio())["transforms"]
    rerouting = {f"{name}.dropped" for name, t in transforms.items() if t.get("reroute_dropped")}
    assert set(transforms["dead_letter"]["inputs"]) == {*rerouting, "by_kind._unmatched"}


def test_the_faults_that_were_measured_are_designed_out() -> None:
    made = config(studio())
    assert made["sources"]["broker"]["client_id"] == "vector-rosewood"
    assert made["sources"]["broker"]["max_packet_size"] == MAX_PACKET_BYTES
    series = [sink for sink in made["sinks"].values() if sink["type"] == "influxdb_logs"]
    assert len(series) == 4
    for sink in series:
        assert sink["request"]["retry_max_duration_secs"] == 3
        assert sink["buffer"]["type"] == "disk"
        assert sink["buffer"]["when_full"] == "block"
        assert sink["buffer"]["max_size"] >= SMALLEST_BUFFER
    # each sink has a measurement of its own: it is static
    assert len({sink["measurement"] for sink in series}) == 4


def test_it_listens_on_loopback_alone() -> None:
    made = config(studio())
    assert made["api"]["address"].startswith("127.0.0.1:")
    assert made["sinks"]["metrics"]["address"].startswith("127.0.0.1:")


def test_the_password_is_a_quoted_reference() -> None:
    # Vector fills it in before it parses the YAML: an all-digit password must stay a string.
    assert "password: 'SECRET[s.broker-vector]'" in rendered(studio())["vector/vector.yaml"]


def test_other_topics_are_subscribed_and_routed() -> None:
    made = config(studio(topics={"furnace": "shop/{id}/t.emp-1", "canary": "c"}))
    assert made["sources"]["broker"]["topic"][0] == "shop/+/t.emp-1"
    route = made["transforms"]["by_kind"]["route"]
    assert r"\Ashop/[^/]+/t\x{2e}emp\x{2d}1\z" in route["furnace"]
    assert r"\Ac\z" in route["canary"]


def test_the_id_is_taken_from_the_right_level() -> None:
    files = rendered(studio(topics={"furnace": "a/b/{id}/t", "flame": "{id}/flame"}))
    assert "id_level = 2\n" in files["vector/vrl/known_furnace.vrl"]
    assert "id_level = 0\n" in files["vector/vrl/known_flame.vrl"]


def test_ports_are_the_inventory_s() -> None:
    ports = {"mqtt": 11883, "victoriametrics": 18428, "vector_api": 18686, "vector_metrics": 19598}
    made = config(studio(ports=ports))
    assert made["sources"]["broker"]["port"] == 11883
    assert made["sinks"]["furnace_series"]["endpoint"] == "http://127.0.0.1:18428"
    assert made["api"]["address"] == "127.0.0.1:18686"
    assert made["sinks"]["metrics"]["address"] == "127.0.0.1:19598"
