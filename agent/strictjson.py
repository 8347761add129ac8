"""JSON without its traps: keys twice, NaN, endless numbers, too much of it, a line of brackets, what is not UTF-8."""

import json
import math
from typing import Any, NoReturn

LIMIT = 65536
"""Bytes in a file or message; ThingsBoard's own limit of a payload."""


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number in JSON")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _whole(text: str) -> int:
    _number(text)  # one that no float can hold is of use to nobody, and fails where it is compared or written
    return int(text)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f'the key "{key[:60]}" is there twice')
        seen[key] = value
    return seen


def parse(data: bytes) -> dict[str, Any]:
    """The one JSON object in `data`; raises ValueError with a message for people, with line and column if known."""
    if len(data) > LIMIT:
        raise ValueError(f"it is larger than {LIMIT} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start + 1})") from None
    if not text.strip():
        raise ValueError("it is empty")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_no_key_twice,
            parse_constant=_refuse_constant,
            parse_float=_number,
            parse_int=_whole,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"it must be an object in braces; it is {kind(value)}")
    return value


def kind(value: object) -> str:
    """What a JSON value is, in a word for people."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"
