"""`vector test`: the unit tests in a configuration, run through its transforms."""

from typing import Any

from vector_standin.event import Event, Log
from vector_standin.schema import Refused
from vector_standin.telemetry import Telemetry
from vector_standin.topology import Topology
from vector_standin.vrl import Conditions, DoesNotCompile, generated

Test = dict[str, Any]


def _input(given: Test) -> Log:
    if given["type"] == "vrl":
        return generated(given["source"])
    if given["type"] == "log":
        return Log(dict(given["log_fields"]))
    return Log({"message": given["value"]})


def _unfulfilled(output: Test, events: list[Event]) -> list[str]:
    """What is wrong with the events of an output: each condition must hold for one of them at least."""
    where = ", ".join(output["extract_from"])
    expected = output["expected_event_count"]
    errors = []
    if expected is not None and len(events) != expected:
        errors.append(f"expected {expected} events from transforms {where}, but received {len(events)}")
    if not events and expected != 0:
        return [*errors, f"checks for transforms {where} failed: no events received"]
    if events:
        conditions = Conditions({f"condition[{i}]": source for i, source in enumerate(output["conditions"])})
        for name, why_not in conditions.check(events).items():
            if all(why_not):
                errors += [f"{name} of {where}: {why}" for why in why_not]
    if errors:
        errors += [f"  event: {event.shown()}" for event in events]
    return errors


def _run(config: dict[str, Any], test: Test) -> list[str]:
    topology = Topology(config, Telemetry())
    got: dict[str, list[Event]] = {}
    watched = {name for output in test["outputs"] for name in output["extract_from"]} | set(test["no_outputs_from"])
    for name in watched:
        topology.connect(name, got.setdefault(name, []).extend)
    try:
        for given in test["inputs"]:
            topology.insert(given["insert_at"], [_input(given)])
        topology.tick(final=True)
        errors = [
            error
            for output in test["outputs"]
            for error in _unfulfilled(output, [e for name in output["extract_from"] for e in got[name]])
        ]
    except DoesNotCompile as error:
        return [str(error)]
    errors += [
        f"check for transform {name} failed: expected no outputs" for name in test["no_outputs_from"] if got[name]
    ]
    return errors


def _check(config: dict[str, Any], offered: set[str]) -> None:
    """Raises Refused when there are no tests, or one is about what does not exist."""
    errors = [] if config["tests"] else ["no tests found"]
    for test in config["tests"]:
        known = [given["insert_at"] for given in test["inputs"] if given["insert_at"] not in config["transforms"]]
        watched = [name for output in test["outputs"] for name in output["extract_from"]] + test["no_outputs_from"]
        errors += [f"test {test['name']!r}: there is no transform {name!r}" for name in known]
        errors += [f"test {test['name']!r}: there is no output {name!r}" for name in watched if name not in offered]
        if not watched:
            errors.append(f"test {test['name']!r}: must have at least one of `outputs` or `no_outputs_from`")
    if errors:
        raise Refused(errors)


def run(config: dict[str, Any], offered: set[str]) -> dict[str, list[str]]:
    """What is wrong, by the name of the test; an empty list when it passed."""
    _check(config, offered)
    return {test["name"]: _run(config, test) for test in config["tests"]}
