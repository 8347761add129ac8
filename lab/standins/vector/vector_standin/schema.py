"""Shapes of configuration values: each checks a value, fills in defaults and names the path of whatever is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

REQUIRED = object()


class Refused(Exception):
    """A configuration that Vector, or this stand-in, does not take: one line an error, each with its path."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def _kind(value: Any) -> str:
    """What a value is, never the value itself: it may be a secret."""
    names = {
        str: "a string",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a mapping",
    }
    return names.get(type(value), "nothing")


class Shape:
    """Checks one value; appends to `errors` and returns the value with defaults filled in."""

    def check(self, value: Any, path: str, errors: list[str]) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class Text(Shape):
    """A string, or one of a few."""

    choices: tuple[str, ...] = ()

    def check(self, value: Any, path: str, errors: list[str]) -> Any:
        if not isinstance(value, str):
            errors.append(f"{path}: a string is needed, not {_kind(value)}")
        elif self.choices and value not in self.choices:
            errors.append(
                f"{path}: {value!r} is not implemented by this stand-in (it knows: {', '.join(self.choices)})"
            )
        return value


@dataclass(frozen=True)
class Number(Shape):
    """A number not below `least`; whole unless `fraction`."""

    least: float = 0
    fraction: bool = False

    def check(self, value: Any, path: str, errors: list[str]) -> Any:
        kinds = (int, float) if self.fraction else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds):
            errors.append(f"{path}: a {'' if self.fraction else 'whole '}number is needed, not {_kind(value)}")
        elif value < self.least:
            errors.append(f"{path}: {value} is below the least value, {self.least}")
        return value


@dataclass(frozen=True)
class Flag(Shape):
    """A boolean."""

    def check(self, value: Any, path: str, errors: list[str]) -> Any:
        if not isinstance(value, bool):
            errors.append(f"{path}: true or false is needed, not {_kind(value)}")
        return value


@dataclass(frozen=True)
class ListOf(Shape):
    """A list of one shape; with `one`, a single value stands for a list of it."""

    item: Shape
    one: bool = False
    least: int = 0

    def check(self, value: Any, path: str, errors: list[str]) -> Any:
        if self.one and not isinstance(value, list):
            value = [value]
        if not isinstance(value, list):
            errors.append(f"{path}: a list is needed, not {_kind(value)}")
            return []
        if len(value) < self.least:
            errors.append(f"{path}: at least {self.least} must be given")
        return [self.item.check(item, f"{path}[{i}]", errors) for i, item in enumerate(value)]


@dataclass(frozen=True)
class MapOf(Shape):
    """A mapping from names of one's own to one shape."""

    item: Shape

    def check(self, value: Any, path: str, errors: list[str]) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            errors.append(f"{path}: a mapping is needed, not {_kind(value)}")
            return {}
        return {key: self.item.check(item, f"{path}.{key}", errors) for key, item in value.items()}


@dataclass(frozen=True)
class Record(Shape):
    """A mapping with known keys: key -> shape, or (shape, default); a key without a default must be there."""

    keys: Mapping[str, Shape | tuple[Shape, Any]]
    what: str = "key"

    def check(self, value: Any, path: str, errors: list[str]) -> Any:
        if not isinstance(value, Mapping):
            errors.append(f"{path}: a mapping is needed, not {_kind(value)}")
            return {}
        for key in value:
            if key not in self.keys:
                known = ", ".join(self.keys)
                errors.append(f"{path}.{key}: this {self.what} is not implemented by this stand-in (it knows: {known})")
        checked = {}
        for key, entry in self.keys.items():
            shape, default = entry if isinstance(entry, tuple) else (entry, REQUIRED)
            if key in value:
                checked[key] = shape.check(value[key], f"{path}.{key}", errors)
            elif default is REQUIRED:
                errors.append(f"{path}.{key}: is missing")
            elif isinstance(shape, Record) and default is not None:
                checked[key] = shape.check(default, f"{path}.{key}", errors)
            else:
                checked[key] = default
        return checked


@dataclass(frozen=True)
class OneOf(Shape):
    """A mapping whose key `type` says which record it is."""

    records: Mapping[str, Record] = field(default_factory=dict)
    what: str = "component"
    default: str | None = None

    def check(self, value: Any, path: str, errors: list[str]) -> Any:
        if not isinstance(value, Mapping):
            errors.append(f"{path}: a mapping is needed, not {_kind(value)}")
            return {}
        kind = value.get("type", self.default)
        if kind not in self.records:
            known = ", ".join(self.records)
            errors.append(
                f"{path}.type: the {self.what} {kind!r} is not implemented by this stand-in (it knows: {known})"
            )
            return {}
        rest = {key: item for key, item in value.items() if key != "type"}
        return {"type": kind, **self.records[kind].check(rest, path, errors)}


@dataclass(frozen=True)
class Condition(Shape):
    """A VRL condition: its source alone, or {type: vrl, source}; becomes its source."""

    def check(self, value: Any, path: str, errors: list[str]) -> Any:
        if isinstance(value, str):
            return value
        checked = OneOf({"vrl": Record({"source": Text()})}, "condition").check(value, path, errors)
        return checked.get("source", "")
