"""What is wrong with an inventory file, told to the person who wrote it: every problem with its line, at once."""

from collections.abc import Sequence
from dataclasses import dataclass

Step = str | int
FieldPath = tuple[Step, ...]


def field_name(path: FieldPath) -> str:
    """A path as people write it: `furnaces[0].flame_voltage.low`; counted from 0 as programs do."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong: where, what, and what to do. Lines and columns count from 1, as editors do."""

    line: int
    column: int
    field: str
    what: str
    do: str = ""

    def text(self, file: str) -> str:
        place = f"{file}:{self.line}:{self.column}: " if self.line else f"{file}: "
        return place + (f"{self.field}: " if self.field else "") + self.what + (f"; {self.do}" if self.do else "")


class InventoryError(Exception):
    """An inventory cannot be used; `str()` is the whole message for people, `problems` is for programs."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(problem.text(file) for problem in self.problems))


class Findings(ValueError):
    """Several problems that one check of the model found, each with the path of the field it is about."""

    def __init__(self, found: Sequence[tuple[FieldPath, str]]) -> None:
        self.found = tuple(found)
        super().__init__("; ".join(text for _, text in self.found))


def refuse(found: Sequence[tuple[FieldPath, str]]) -> None:
    """Raise what a check of the model found, if it found anything."""
    if found:
        raise Findings(found)
