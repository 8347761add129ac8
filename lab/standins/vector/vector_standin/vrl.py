"""VRL programs and conditions, run by Vector's own compiler and runtime (vector-vrl) on batches of events.

vector-vrl takes and gives JSON, which has no timestamps: a log's `timestamp` travels beside it as nanoseconds and is
put in place by a line before the program, taken out by lines after it.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import vector_vrl

from vector_standin.event import Event, Log

BEFORE = (
    "standin_ts = .ts; . = object!(.event); "
    'if is_integer(standin_ts) { .timestamp = from_unix_timestamp!(standin_ts, unit: "nanoseconds") }\n'
)
AFTER = """
standin_ts = null
if is_timestamp(.timestamp) {
  standin_ts = to_unix_timestamp(timestamp!(.timestamp), unit: "nanoseconds")
  del(.timestamp)
}
. = {"event": encode_json(.), "ts": standin_ts}
"""
ABORTED = "VRL aborted"
FAILED = "VRL error: "


class DoesNotCompile(Exception):
    """A program that VRL's compiler refuses."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Why a program gave no event: "abort" or "error", and its message."""

    reason: str
    message: str


def _run(program: str, inputs: Sequence[str]) -> list[dict[str, Any]]:
    try:
        return list(vector_vrl.execute_vrl(program, list(inputs)))
    except ValueError as error:
        raise DoesNotCompile(str(error)) from None


@cache
def _compile_error(program: str) -> str | None:
    """Why a program does not compile. Remembered, for a unit test builds all transforms anew."""
    checked = vector_vrl.validate_vrl(program)
    return None if checked.success else str(checked.error)


def _dump(event: Event) -> str:
    return event.dump() if isinstance(event, Log) else json.dumps({"event": event.shown(), "ts": None})


class Program:
    """A remap program. Raises DoesNotCompile at once when it is wrong."""

    def __init__(self, source: str) -> None:
        self._source = BEFORE + source + AFTER
        if why_not := _compile_error(self._source):
            raise DoesNotCompile(why_not)

    def run(self, events: Sequence[Event]) -> Iterable[Log | Dropped]:
        """For each event what it became, or why it was dropped."""
        for result in _run(self._source, [_dump(event) for event in events]):
            if "event" in result:
                fields = json.loads(result["event"])
                is_log = isinstance(fields, dict)
                yield (
                    Log(fields, result["ts"])
                    if is_log
                    else Dropped("error", "the stand-in knows only objects as events")
                )
            elif result["error"].startswith(ABORTED):
                yield Dropped("abort", result["error"].removeprefix(ABORTED).removeprefix(": "))
            else:
                yield Dropped("error", result["error"].removeprefix(FAILED))


class Conditions:
    """Several named conditions, each true, or not (false, an error or an abort), of each event."""

    def __init__(self, sources: dict[str, str]) -> None:
        self._programs = {
            name: f'{BEFORE}standin_is = {{\n{source}\n}}\n. = {{"is": standin_is}}' for name, source in sources.items()
        }
        for name, program in self._programs.items():
            if why_not := _compile_error(program):
                raise DoesNotCompile(f"{name}: {why_not}")

    def check(self, events: Sequence[Event]) -> dict[str, list[str | None]]:
        """By name, for each event None when the condition holds, else why it does not."""
        inputs = [_dump(event) for event in events]
        return {name: [_why_not(r) for r in _run(program, inputs)] for name, program in self._programs.items()}


def _why_not(result: dict[str, Any]) -> str | None:
    if result.get("is") is True:
        return None
    return str(result.get("error", f"the condition is {result.get('is')!r}"))


def generated(source: str) -> Log:
    """The log event that a program makes out of nothing, as in a unit test's input of type `vrl`."""
    (result,) = Program(source).run([Log({})])
    if isinstance(result, Dropped):
        raise DoesNotCompile(f"the program failed: {result.message}")
    return result
