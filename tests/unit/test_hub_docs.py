"""docs/hub.md lists every setting with its default, and the tests that it names are there."""

import re
from pathlib import Path
from typing import Final

from hub.settings import Settings

PAGE: Final = Path("docs/hub.md").read_text("utf-8")
MIB: Final = 1024 * 1024
OTHER_NAME: Final = {"provision_event_log": "PROVISION_EVENT_LOG"}


def table(heading: str) -> list[list[str]]:
    """The rows of the first table of a section, without its head."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert len(lines) > 2, f"{heading!r} has a table"
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def numbers(cell: str) -> list[float]:
    """The defaults of a row that are numbers, in their order; `10 MiB` is one."""
    parts = cell.replace("`", "").split(", ")
    found = [re.fullmatch(r"(\d+(?:\.\d+)?)( MiB)?", part) for part in parts]
    return [float(part[1]) * (MIB if part[2] else 1) for part in found if part]


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def test_every_setting_is_listed_once_and_nothing_else_is() -> None:
    listed = [name for row in table("Settings") for name in re.findall(r"`([A-Z_]+)`", row[0])]
    there = [OTHER_NAME.get(name, f"HUB_{name.upper()}") for name in Settings.model_fields]
    assert sorted(listed) == sorted(there)


def test_the_defaults_that_are_listed_are_those_of_the_settings() -> None:
    fields = {OTHER_NAME.get(name, f"HUB_{name.upper()}"): field for name, field in Settings.model_fields.items()}
    compared = 0
    for row in table("Settings"):
        defaults = [fields[name].default for name in re.findall(r"`([A-Z_]+)`", row[0])]
        wanted = [float(value) for value in defaults if is_number(value)]
        told = numbers(row[1])
        assert told in (wanted, wanted[:1] if len(set(wanted)) == 1 else wanted), row[0]
        compared += len(told)
    assert compared > 15


def test_the_acceptance_tests_that_are_named_are_there() -> None:
    rows = table("What the logs and metrics must show, and the test of each")
    code = "".join(path.read_text("utf-8") for path in Path("tests/services").glob("test_hub_*.py"))
    for asked, where in rows:
        named = re.findall(r"`(test_\w+)`", where)
        assert named or "`python -m bench hub`" in where, asked
        for name in named:
            assert f"def {name}(" in code, name
    assert len(rows) == 6
