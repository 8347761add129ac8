"""Each syntax's quoting function gives source that the syntax's own rules turn back into the text."""

import json
import re

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from studio.render import escape
from studio.render.yaml_text import Quoted, to_yaml

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ONE_LINE = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
ACTION = re.compile(r'\{\{ "(.)" \}\}')


def read_unit_word(source: str) -> str:
    """What systemd makes of one word: quotes and backslashes away, %% and $$ to one sign each."""
    inner = re.sub(r"\\(.)", r"\1", source[1:-1]) if source.startswith('"') else source
    return inner.replace("%%", "%").replace("$$", "$")


@given(ONE_LINE)
def test_a_unit_word_is_read_back(text: str) -> None:
    assert read_unit_word(escape.unit_word(text)) == text


@pytest.mark.parametrize("text", ["%n", "$HOME", "a b", 'say "x"', "back\\slash", "", ";", "#"])
def test_a_unit_word_leaves_nothing_to_expand(text: str) -> None:
    word = escape.unit_word(text)
    assert word.startswith('"')
    assert word.endswith('"')
    assert not re.search(r"(?<!%)%(%%)*(?!%)", word)
    assert not re.search(r"(?<!\$)\$(\$\$)*(?!\$)", word)


@pytest.mark.parametrize("text", ["two\nlines", "ends in \\", " blank", "tab\t"])
def test_what_a_unit_file_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unit file"):
        escape.unit_value(text)


@given(ONE_LINE.filter(lambda text: text == text.strip() and not text.endswith("\\")))
def test_a_unit_value_has_no_specifier_left(text: str) -> None:
    value = escape.unit_value(text)
    assert value.replace("%%", "%") == text
    assert "%" not in value.replace("%%", "")


@given(TEXT)
def test_a_go_string_is_read_back_and_has_no_surrogates(text: str) -> None:
    literal = escape.go_string(text)
    assert json.loads(literal) == text
    assert not re.search(r"\\u[dD][89a-fA-F]", literal)
    assert "\n" not in literal


@given(TEXT)
def test_a_go_template_gives_the_text_back(text: str) -> None:
    source = escape.go_template(text)
    assert ACTION.sub(r"\1", source) == text


@given(TEXT)
def test_a_go_template_opens_no_action_of_the_text_and_no_variable(text: str) -> None:
    source = escape.go_template(text) + "{{ $value }}"
    assert "%{" not in source
    assert "{" not in ACTION.sub("", source).removesuffix("{{ $value }}")


@given(ONE_LINE.filter(lambda text: not ('"' in text and "'" in text)))
def test_a_monit_string_ends_where_the_text_ends(text: str) -> None:
    source = escape.monit(text)
    assert source[0] == source[-1]
    assert source[1:-1] == text
    assert source[0] not in text


@pytest.mark.parametrize("text", ["\"both' quotes", "line\nbreak"])
def test_what_monit_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="monit"):
        escape.monit(text)


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers() | FLOATS | TEXT | st.sampled_from(["yes", "Null", "1", "~", "a: b"])
DATA = st.recursive(SCALARS, lambda x: st.lists(x) | st.dictionaries(TEXT, x))


@given(DATA)
@example({"": [[], {}, [[1]], {"a": {"b": []}}]})
@example(["x #y", "x:", "é: ü", "- a", "", " ", "\u2028", "\ufeff", "🔥", "=", "<<", "0o7", "1_0", "12:30:00", "on"])
def test_yaml_is_read_back(data: object) -> None:
    text = to_yaml(data, "a comment\non two lines")
    assert yaml.load(text, Loader=yaml.CSafeLoader) == data
    assert yaml.load(text, Loader=yaml.SafeLoader) == data


@given(TEXT)
def test_a_quoted_text_is_quoted_and_read_back(text: str) -> None:
    source = to_yaml({"key": Quoted(text)})
    assert source[5] in "\"'"
    assert yaml.safe_load(source) == {"key": text}


@pytest.mark.parametrize(("value", "literal"), [("x", '"x"'), (3, "3"), (1.5, "1.5"), ('a"}', '"a\\"}"')])
def test_metricsql_literals(value: str | int | float, literal: str) -> None:
    assert escape.metricsql(value) == literal
