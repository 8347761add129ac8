"""One quoting function a syntax: the only ways in which data of an inventory gets into a text format.

Formats with a library (YAML, JSON, XML) are built as data and dumped by it. What is left is here. Every function takes
any text and gives source that the format's own reader turns back into that text, or raises ValueError where the
format has no way to say it.
"""

import json
import re
from typing import Any, Final

SAFE_WORD: Final = re.compile(r"[A-Za-z0-9_.,:/=+@*-]+")
CONTROLS: Final = frozenset(map(chr, range(32))) | {"\x7f"}


def _no_controls(value: str, syntax: str) -> str:
    if not CONTROLS.isdisjoint(value):
        raise ValueError(f"{syntax} cannot hold the control characters in {value!r}")
    return value


def unit_value(value: str) -> str:
    """A value of a unit file that is not split into words (Description=): specifiers (%n) lose their meaning.

    A line that ends in a backslash would be continued, and a blank at either end is dropped: both are refused.
    """
    _no_controls(value, "a unit file")
    if value.endswith("\\") or value != value.strip():
        raise ValueError(f"a unit file cannot hold {value!r}: a backslash at its end, or blanks around it")
    return value.replace("%", "%%")


def unit_word(value: str) -> str:
    """One word of a unit file's command or list (Exec=, Environment=), quoted where needed, nothing expanded in it."""
    if SAFE_WORD.fullmatch(value):
        return value
    escaped = _no_controls(value, "a unit file").replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("%", "%%").replace("$", "$$") + '"'


def metricsql(value: str | int | float) -> str:
    """A MetricsQL literal: a number, or a string in double quotes with Go's escapes."""
    if isinstance(value, str):
        return go_string(value)
    return f"{value!r}"


def go_string(value: str) -> str:
    """A string literal of Go, as MetricsQL and Alloy read it too.

    JSON's is one, except that JSON may write characters beyond the 16-bit plane as two escapes, which Go refuses.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def go_template(value: str) -> str:
    """Text inside a Go template (an alert's annotation): braces and percent signs as template strings.

    A brace could open an action, also together with what follows it; `%{` would be read as a variable of the
    environment by VictoriaMetrics' programs before the template is one.
    """
    return "".join('{{ "' + c + '" }}' if c in "{%" else c for c in value)


def monit(value: str) -> str:
    """A string of monit's control file; monit has no escapes, so the quote that the text does not have is taken."""
    _no_controls(value, "monit's control file")
    for quote in "\"'":
        if quote not in value:
            return f"{quote}{value}{quote}"
    raise ValueError(f"monit's control file cannot hold {value!r}: it has both kinds of quotes")


def to_json(data: Any) -> str:
    """A JSON document for people to look at."""
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"
