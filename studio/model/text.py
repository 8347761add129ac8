"""The bytes of an inventory file as YAML events, or one clear reason why they are none."""

import re
from collections.abc import Iterator
from typing import Final

import yaml
from yaml.events import Event

from studio.model.errors import Problem

MAX_BYTES: Final = 1 << 20
CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

Place = tuple[int, int]


class Unreadable(Exception):
    """The file is no YAML at all, or not of the kind that an inventory is; nothing more can be said of it."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.what)


def decoded(content: bytes) -> str:
    """The text of a file; raises Unreadable when it is too large, no UTF-8, or has control characters."""
    if len(content) > MAX_BYTES:
        raise Unreadable(Problem(0, 0, "", f"the file is larger than {MAX_BYTES >> 20} MiB", "an inventory is a page"))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _position(content[: error.start].decode("utf-8", "replace"))
        what = f"the byte 0x{content[error.start]:02x} is not UTF-8"
        raise Unreadable(Problem(line, column, "", what, "save the file as UTF-8")) from None
    if found := CONTROL.search(text):
        line, column = _position(text[: found.start()])
        what = f"the control character U+{ord(found.group()):04X} is in the file"
        raise Unreadable(Problem(line, column, "", what, "delete it"))
    return text


def _position(before: str) -> Place:
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def events(text: str) -> Iterator[Event]:
    """What YAML's parser sees in a text, in order; raises Unreadable where the syntax is wrong."""
    try:
        yield from yaml.parse(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        unclosed = "flow" in (error.context or "") or "quoted scalar" in (error.context or "")
        mark = (error.context_mark if unclosed else None) or error.problem_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        raise Unreadable(_syntax(text, line, column, f"{error.context or ''} {error.problem or ''}")) from None


def _syntax(text: str, line: int, column: int, said: str) -> Problem:
    """A parser's complaint in words for people."""
    lines = text.split("\n")
    here = lines[line] if line < len(lines) else ""
    if "\t" in here[: len(here) - len(here.lstrip())] or here[column : column + 1] == "\t":
        return Problem(line + 1, column + 1, "", "a tab stands where YAML wants blanks", "indent with blanks")
    if "mapping values are not allowed" in said:
        what, do = "a second ': ' on the line", "put the value in quotes if the colon belongs to it"
    elif "quoted scalar" in said:
        what, do = "a quotation mark is opened and never closed", "close it"
    elif "flow" in said:
        what, do = "a '{' or '[' is not closed, or a comma is missing", "close it on the same line"
    elif "cannot start any token" in said:
        what, do = f"a value cannot begin with {here[column : column + 1]!r}", "put it in quotes"
    else:
        what, do = "this is no YAML: " + " ".join(said.split()), "compare the indentation with the lines around it"
    return Problem(line + 1, column + 1, "", what, do)


def place_of(event: Event) -> Place:
    """The line and column, from 1, at which something begins."""
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)
