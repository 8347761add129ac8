"""Values as VRL source text: the only way data of an inventory gets into a VRL program."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache

Value = str | int | float | bool | None | Sequence["Value"] | Mapping[str, "Value"]

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-.,")


@lru_cache(maxsize=1 << 16)
def string(value: str) -> str:
    """A VRL string literal; all but the plainest characters are written as escapes.

    So no quote, backslash, line end, `{{ template }}`, `${VARIABLE}` or `SECRET[...]` is ever in the program's text.
    Raises ValueError on a lone surrogate, which no UTF-8 file can hold.
    """
    value.encode()
    return '"' + "".join(c if c in PLAIN else f"\\u{{{ord(c):x}}}" for c in value) + '"'


def literal(value: Value) -> str:
    """A VRL literal of a JSON-like value, on one line."""
    if isinstance(value, str):
        return string(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{string(key)}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    raise TypeError(f"{value!r} has no VRL literal")


def assignments(comment: str, values: Mapping[str, Value]) -> str:
    """A VRL program that sets variables, one a line, a mapping's items each on a line of its own."""
    lines = [f"# {comment}"]
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            items = "".join(f"  {string(key)}: {literal(item)},\n" for key, item in value.items())
            lines.append(f"{name} = {{\n{items}}}")
        else:
            lines.append(f"{name} = {literal(value)}")
    return "\n".join(lines) + "\n"
