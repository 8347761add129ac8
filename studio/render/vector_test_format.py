"""The words of a unit test in Vector's format: what is inserted where, and what must come out."""

from collections.abc import Mapping
from typing import Any, Final

from studio.model import Topics
from studio.render.vrl import Value, literal, string

RECEIVED: Final = 1772366400
"""2026-03-01T12:00:00Z, when every test's messages are received."""

Test = dict[str, Any]


def epoch(seconds: int) -> str:
    return f"from_unix_timestamp!({seconds})"


def inserted(insert_at: str, fields: Mapping[str, Value], timestamp: int | None = RECEIVED) -> Test:
    source = f". = {literal(fields)}"
    if timestamp is not None:
        source += f"\n.timestamp = {epoch(timestamp)}"
    return {"insert_at": insert_at, "type": "vrl", "source": source}


def extracted(extract_from: str, *assertions: str, count: int = 1) -> Test:
    conditions = [{"type": "vrl", "source": "\n".join(assertions)}] if assertions else []
    return {"extract_from": extract_from, "conditions": conditions, "expected_event_count": count}


def equals(field: str, value: Value) -> str:
    return f"assert_eq!({field}, {literal(value)})"


def unit_test(name: str, inputs: list[Test], *outputs: Test, silent: tuple[str, ...] = ()) -> Test:
    return {"name": name, "inputs": inputs, "outputs": list(outputs), "no_outputs_from": list(silent)}


class Messages:
    """Messages to one kind's transform from one device, and what must become of them."""

    def __init__(self, topics: Topics, kind: str, device: str = "") -> None:
        self.kind = kind
        self.topic = str(getattr(topics, kind)).replace("{id}", device)

    def input(self, *messages: str) -> list[Test]:
        return [inserted(self.kind, {"topic": self.topic, "message": message}) for message in messages]

    def sample(self, name: str, message: str, fields: Mapping[str, Value], at: int = RECEIVED) -> Test:
        expected = [equals(f".{field}", value) for field, value in fields.items()]
        expected += [f"assert_eq!(.timestamp, {epoch(at)})", f"assert_eq!(length(.), {len(fields) + 1})"]
        output = extracted(self.kind, *expected)
        return unit_test(f"{self.kind}: {name}", self.input(message), output, silent=(f"{self.kind}.dropped",))

    def refused(self, reason: str, *messages: str) -> Test:
        said = [equals(".metadata.dropped.reason", "abort"), equals(".metadata.dropped.message", reason)]
        outputs = extracted(f"{self.kind}.dropped", *said, count=len(messages))
        return unit_test(f"{self.kind}: {reason}", self.input(*messages), outputs, silent=(self.kind,))

    def long(self, name: str, message: str, more: str, output: Test) -> Test:
        """A message of 65536 bytes with blanks before it, and `more` after it; made by the test, not written out."""
        doublings = ["blanks = blanks + blanks"] * 16
        cut = f"blanks = slice!(blanks, 0, {65536 - len(message)})"
        fields = f'{{"topic": {string(self.topic)}, "message": blanks + {string(message + more)}}}'
        source = "\n".join(['blanks = " "', *doublings, cut, f". = {fields}", f".timestamp = {epoch(RECEIVED)}"])
        test_input = {"insert_at": self.kind, "type": "vrl", "source": source}
        return unit_test(f"{self.kind}: {name}", [test_input], output)
