"""monit's own view, which must be the inventory's."""

import re

import pytest

from studio.verify.expected import Expected
from studio.verify.facts import Facts, missing

BUSY = "Resource limit matched"
NOT_YET = ("Initializing", "Waiting", "Not monitored - start pending")


def _declared(expected: Expected) -> set[str]:
    text = expected.bundle.files["monit/monitrc"].content.decode()
    return {a or b for a, b in re.findall(r'^check \w+ (?:"([^"]+)"|(\S+))', text, re.MULTILINE)}


def check_monit_watches_what_is_declared(facts: Facts, expected: Expected) -> None:
    monit = facts["monit"]
    assert monit["code"] == 0, f"monit does not answer on its socket: {monit['said'].strip()}"
    difference = missing(_declared(expected), set(monit["checks"]))
    assert not difference, difference


def check_monit_finds_nothing_wrong(facts: Facts, expected: Expected) -> None:
    """The furnaces' data are judged by a check of their own, which knows of furnaces that never sent."""
    monit = facts["monit"]
    assert monit["code"] == 0, f"monit does not answer on its socket: {monit['said'].strip()}"
    judged = {name: state for name, state in monit["checks"].items() if not name.startswith("furnace-")}
    # A busy machine is told as such: what was deployed is right all the same.
    machine = f"studio-{expected.studio.name}"
    busy = judged.get(machine) == BUSY
    judged = {name: state for name, state in judged.items() if name != machine or not busy}
    wrong = [f"{name}: {state}" for name, state in judged.items() if state != "OK" and state not in NOT_YET]
    assert not wrong, "; ".join(wrong)
    if busy:
        pytest.skip("the machine is short of memory or processor time just now")
    if early := [name for name, state in judged.items() if state in NOT_YET]:
        pytest.skip(f"monit has not looked yet at: {', '.join(early)}")
