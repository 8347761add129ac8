"""An inventory file as plain data, with the line and column of every key and value.

YAML is read event by event, so that what YAML would silently accept is said: keys given twice, aliases (a few bytes of
them expand to gigabytes), tags, several documents, numbers that YAML reads in another base.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from yaml.events import (
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from yaml.nodes import ScalarNode
from yaml.resolver import Resolver

from studio.model.errors import FieldPath, Problem, field_name
from studio.model.text import Place, Unreadable, decoded, events, place_of

MAX_DEPTH: Final = 20
PLAIN_TAG: Final = "tag:yaml.org,2002:"
OTHER_BASE: Final = re.compile(r"[-+]?(0[0-9_]+|0b[01_]+|0x[0-9a-fA-F_]+)")
TRUTH: Final = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


@dataclass
class Document:
    """The data of a file (lists are tuples), where everything stands, and what YAML would have let pass."""

    data: Any = None
    values: dict[FieldPath, Place] = field(default_factory=dict)
    keys: dict[FieldPath, Place] = field(default_factory=dict)
    written: dict[FieldPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: FieldPath, *, key: bool = False) -> Place:
        """Line and column of a value (or of its key), or of the nearest thing around it that is there."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, (1, 1))

    def problem(self, path: FieldPath, what: str, do: str = "", *, key: bool = False) -> Problem:
        return Problem(*self.place(path, key=key), field_name(path), what, do)


def read(content: bytes) -> Document:
    """Read an inventory's bytes; raises Unreadable when they are no YAML mapping."""
    document = Document()
    reader = _Reader(events(decoded(content)), document)
    reader.run()
    if not isinstance(document.data, dict):
        line, column = document.place(())
        kind = "a list" if isinstance(document.data, tuple) else "a single value"
        what = "the file is empty" if document.data is None else f"the file is {kind}, not keys with values"
        raise Unreadable(Problem(line, column, "", what, "begin with `name: ` and the file's name without .yaml"))
    return document


class _Reader:
    """Turns events into a Document; holds the one place of the stream at which it is."""

    def __init__(self, events: Iterator[Event], document: Document) -> None:
        self.events = events
        self.document = document
        self.resolver = Resolver()
        self.documents = 0

    def run(self) -> None:
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    line, column = place_of(event)
                    raise Unreadable(Problem(line, column, "", "a second document begins", "one file is one studio"))
            elif isinstance(event, NodeEvent):
                self.document.values[()] = place_of(event)
                self.document.data = self._value(event, ())

    def _value(self, event: Event, path: FieldPath) -> Any:
        line, column = place_of(event)
        self.document.values[path] = (line, column)
        if len(path) > MAX_DEPTH:
            raise Unreadable(Problem(line, column, "", f"nested deeper than {MAX_DEPTH} levels", "undo the nesting"))
        if getattr(event, "anchor", None):
            what = f"the anchor or alias {getattr(event, 'anchor', '')!r}: inventories have none"
            raise Unreadable(Problem(line, column, field_name(path), what, "write the value out where it is needed"))
        if (tag := getattr(event, "tag", None)) and tag != "!":
            raise Unreadable(
                Problem(line, column, field_name(path), f"the tag {tag!r}: inventories have none", "delete it")
            )
        if isinstance(event, MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, SequenceStartEvent):
            return tuple(self._items(path))
        assert isinstance(event, ScalarEvent)  # noqa: S101 - what is left, for the type checker
        return self._scalar(event, path)

    def _items(self, path: FieldPath) -> Iterator[Any]:
        for index, event in enumerate(iter(self.events.__next__, None)):
            if isinstance(event, SequenceEndEvent):
                return
            yield self._value(event, (*path, index))

    def _mapping(self, path: FieldPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            line, column = place_of(event)
            if not isinstance(event, ScalarEvent):
                raise Unreadable(Problem(line, column, field_name(path), "a key that is no word", "give a word"))
            inside = (*path, event.value)
            if event.value in found:
                first = self.document.keys[inside][0]
                what, do = f"the key is given twice, first in line {first}", "keep one of them"
                self.document.problems.append(Problem(line, column, field_name(inside), what, do))
                self._value(next(self.events), (*path, f"{event.value} (again)"))
                continue
            self.document.keys[inside] = (line, column)
            found[event.value] = self._value(next(self.events), inside)
        return found

    def _scalar(self, event: ScalarEvent, path: FieldPath) -> Any:
        text: str = event.value
        self.document.written[path] = text
        if event.tag == "!" or not event.implicit[0]:
            return text
        tag = str(self.resolver.resolve(ScalarNode, text, (True, False))).removeprefix(PLAIN_TAG)  # type: ignore[no-untyped-call]
        if tag == "bool":
            return TRUTH[text.lower()]
        if tag == "null":
            return None
        if tag == "int" and OTHER_BASE.fullmatch(text):
            what = f"YAML reads {text} in another base than ten"
            self.document.problems.append(self.document.problem(path, what, "write it without the leading zero"))
        if tag in {"int", "float"} and ":" not in text and len(text) < 40:
            return _number(text.replace("_", "").lower())
        return text


def _number(text: str) -> int | float:
    if text.lstrip("+-") in {".inf", ".nan"}:
        return float(text.replace(".", ""))
    if text.lstrip("+-").startswith(("0x", "0b")):
        return int(text, 0)
    return float(text) if "." in text else int(text)


def nearest(word: str, among: list[str]) -> str | None:
    """The likeliest spelling of a word among those that there are, or None when none is near."""
    found = get_close_matches(word.lower(), among, n=1, cutoff=0.6)
    return found[0] if found else None
