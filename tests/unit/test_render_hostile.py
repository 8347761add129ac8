"""Names that people may type cannot break any rendered file, nor put anything into it but themselves."""

import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from studio.bundle import Bundle
from studio.model import Furnace, Studio, load_studio
from studio.render import render
from studio.render.checks import problems

NASTY = [
    '"', "'", "\"'", "\\", "\\n", "{{", "}}", "{{ .Labels }}", "{% x %}", "${HOME}", "%{HOME}", "%n", "$(id)", "`id`",
    "</name><x>", "]]>", "&amp;", "<!--", "#", ": ", "- ", "[a]", "*", "&a", "!!python", "<<label>>", "<<nope>>",
    "SECRET[s.broker-vector]", "§", "\u202eRTL", "\u05d0\u05d1", "🔥", "é\u0301", "\ufeff", "\u2028", "{", "{%", "x{",
]  # fmt: skip
LABELS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=80),
    st.lists(st.sampled_from(NASTY), min_size=1, max_size=6).map("".join),
)
WITH_CONTROLS = st.lists(st.sampled_from([*NASTY, "\n", "\r", "\t", "\x00", "\x1b", "\x7f", "\x85"]), min_size=1).map(
    "".join
)
ACTION = re.compile(r'\{\{ "(.)" \}\}')
LAB = load_studio("lab")
PLAIN = "Plain"


def labelled(label: str) -> Studio:
    """The lab's studio with this label on everything that has one, past the model's own checks."""
    furnaces = tuple(
        Furnace.model_construct(**{**{k: getattr(f, k) for k in Furnace.model_fields}, "label": label})
        for f in LAB.furnaces
    )
    devices = {
        kind: tuple(d.model_copy(update={"label": label}) for d in getattr(LAB, kind)) for kind in ("cameras", "plants")
    }
    return LAB.model_copy(update={"title": label, "furnaces": furnaces, **devices})


def texts(bundle: Bundle) -> dict[str, str]:
    return {
        path: artifact.content.decode()
        for path, artifact in bundle.files.items()
        if not path.endswith((".pyz", ".tar"))
    }


def shape(data: Any) -> Any:
    """A document without its texts: what a label must not be able to change."""
    if isinstance(data, dict):
        return {key: shape(value) for key, value in data.items()}
    if isinstance(data, list):
        return [shape(item) for item in data]
    return type(data).__name__ if isinstance(data, str) else data


def documents(bundle: Bundle) -> dict[str, Any]:
    found = {}
    for path, text in texts(bundle).items():
        if path.endswith((".yml", ".yaml")):
            found[path] = yaml.load(text, Loader=yaml.CSafeLoader)
        elif path.endswith(".json"):
            found[path] = json.loads(text)
        elif path.endswith(".xml"):
            root = ET.fromstring(text)  # noqa: S314 - rendered here
            found[path] = [element.tag for element in root.iter()]
    return found


REFERENCE = render(labelled(PLAIN))
REFERENCE_SHAPES = {path: shape(data) for path, data in documents(REFERENCE).items()}
LABEL_FREE = [p for p in texts(REFERENCE) if not p.startswith(("vector/", "vmalert/", "grafana/", "quadlets/", "hub/"))]


def rules(bundle: Bundle, group: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = documents(bundle)[f"vmalert/rules/{group}.yml"]["groups"][0]["rules"]
    return found


def quick(test: Any) -> Any:
    return settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])(test)


@quick
@given(st.one_of(LABELS, WITH_CONTROLS))
@example("%{HOME}")
@example("{{ $labels.x }}")
@example('"); drop')
def test_every_document_keeps_its_shape(label: str) -> None:
    bundle = render(labelled(label))
    assert problems(bundle) == []
    assert {path: shape(data) for path, data in documents(bundle).items()} == REFERENCE_SHAPES


@quick
@given(st.one_of(LABELS, WITH_CONTROLS))
def test_an_alert_says_the_label_as_it_is(label: str) -> None:
    for rule in rules(render(labelled(label)), "shop"):
        said = ACTION.sub(r"\1", rule["annotations"]["description"])
        assert label in said
    plain = [(r["alert"], r["expr"], r["labels"]) for r in rules(REFERENCE, "shop")]
    assert [(r["alert"], r["expr"], r["labels"]) for r in rules(render(labelled(label)), "shop")] == plain


@quick
@given(st.one_of(LABELS, WITH_CONTROLS))
def test_no_label_opens_a_template_or_a_variable_in_the_rules(label: str) -> None:
    bundle = render(labelled(label))
    for path, text in texts(bundle).items():
        if path.startswith("vmalert/"):
            assert "%{" not in text
    for rule, plain in zip(rules(bundle, "shop"), rules(REFERENCE, "shop"), strict=True):
        actions = re.findall(r"\{\{.*?\}\}", ACTION.sub("", rule["annotations"]["description"]))
        assert actions == re.findall(r"\{\{.*?\}\}", plain["annotations"]["description"])


@quick
@given(st.one_of(LABELS, WITH_CONTROLS))
def test_files_that_name_no_label_are_the_same_bytes(label: str) -> None:
    found, plain = texts(render(labelled(label))), texts(REFERENCE)
    assert {p: found[p] for p in LABEL_FREE} == {p: plain[p] for p in LABEL_FREE}


@quick
@given(st.one_of(LABELS, WITH_CONTROLS))
def test_units_differ_by_their_hash_alone(label: str) -> None:
    def without_hash(bundle: Bundle) -> dict[str, str]:
        units = {p: t for p, t in texts(bundle).items() if p.startswith("quadlets/")}
        return {p: re.sub(r"(sensor-pipeline\.hash)=[0-9a-f]{16}", r"\1=", t) for p, t in units.items()}

    assert without_hash(render(labelled(label))) == without_hash(REFERENCE)


@quick
@given(st.one_of(LABELS, WITH_CONTROLS))
def test_the_manifest_and_the_dashboard_hold_the_label_as_it_is(label: str) -> None:
    bundle = render(labelled(label))
    assert {f["label"] for f in json.loads(json.dumps(bundle.manifest))["furnaces"]} == {label}
    titles = [p["title"] for p in documents(bundle)["grafana/furnaces.json"]["panels"] if p["type"] == "stat"]
    assert titles == [label, label]
