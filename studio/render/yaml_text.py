"""YAML of JSON-like data in block style, ten times as fast as PyYAML's own dumper.

Only what is plain beyond doubt is written here; every other text is left to PyYAML, one scalar at a time. That what
is written is read back as it was is a property test over arbitrary data.
"""

from functools import lru_cache
from typing import Any, Final

import yaml

WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
"""Texts that begin with a letter and would be read as something else, in any case."""


class Quoted(str):
    """Text that is quoted even where it need not be, because something is put into it before it is read as YAML."""

    __slots__ = ()


def _is_plain(text: str) -> bool:
    first = text[:1]
    return (
        (first in {"_", "/"} or (first.isascii() and first.isalpha()))
        and text.isprintable()
        and ": " not in text
        and " #" not in text
        and text[-1] not in ": "
        and text.lower() not in WORDS
    )


@lru_cache(maxsize=1 << 16)
def _other(value: str | float) -> str:
    """What needs a second thought, on one line; texts in quotes, as readers differ in what looks like a number."""
    quoted = '"' if isinstance(value, str) else None
    text = yaml.dump(
        value, Dumper=yaml.CSafeDumper, default_style=quoted, allow_unicode=True, width=1 << 30, explicit_end=False
    )
    return str(text).removesuffix("\n").removesuffix("\n...").rstrip("\n")


@lru_cache(maxsize=1 << 16)
def _text(value: str) -> str:
    return value if _is_plain(value) else _other(value)


def _scalar(value: Any) -> str:
    if type(value) is str:
        return _text(value)
    match value:
        case Quoted():
            return "'" + value.replace("'", "''") + "'" if value.isprintable() else _other(str(value))
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _other(value)
    raise TypeError(f"{value!r} is no JSON-like value")


def _add(lines: list[str], data: Any, indent: str) -> None:
    """Append the lines of a mapping or a list that is not empty."""
    if isinstance(data, dict):
        for key, value in data.items():
            if isinstance(value, (dict, list, tuple)):
                if value:
                    lines.append(f"{indent}{_scalar(key)}:")
                    _add(lines, value, indent + "  " if isinstance(value, dict) else indent)
                else:
                    lines.append(f"{indent}{_scalar(key)}: {'{}' if isinstance(value, dict) else '[]'}")
            else:
                lines.append(f"{indent}{_scalar(key)}: {_scalar(value)}")
        return
    for item in data:
        if isinstance(item, (dict, list, tuple)):
            if item:
                first = len(lines)
                _add(lines, item, indent + "  ")
                lines[first] = f"{indent}- {lines[first][len(indent) + 2 :]}"
            else:
                lines.append(f"{indent}- {'{}' if isinstance(item, dict) else '[]'}")
        else:
            lines.append(f"{indent}- {_scalar(item)}")


def to_yaml(data: Any, comment: str = "") -> str:
    """A YAML document, its keys in the order given, below comment lines."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    if not isinstance(data, (dict, list, tuple)):
        return f"{head}{_scalar(data)}\n"
    if not data:
        return f"{head}{'{}' if isinstance(data, dict) else '[]'}\n"
    lines: list[str] = []
    _add(lines, data, "")
    return head + "\n".join(lines) + "\n"
