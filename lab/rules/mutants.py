"""Mutants of a rule: one comparison, threshold, window, offset, set operator or `for` of it is changed.

What is changed is changed in every rule that the inventory makes of the entry; a window or offset wherever it has the
same length. A threshold is a number that something is compared with.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

Rule = dict[str, Any]
FLIPPED: Final = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "!=", "!=": "=="}
TWIN: Final = {">": ">=", "<": "<=", ">=": ">", "<=": "<", "==": ">", "!=": "=="}
OTHER_SET: Final = {"and": "or", "unless": "and", "or": "and"}
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# What is in quotes or braces belongs to a selector, and is left alone.
OUTSIDE: Final = r"\{[^{}]*\}|\"[^\"]*\"|"
COMPARISON: Final = re.compile(rf"{OUTSIDE}(>=|<=|==|!=|>|<)")
THRESHOLD: Final = re.compile(rf"{OUTSIDE}(?:>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)?)")
SET: Final = re.compile(rf"{OUTSIDE}\b(and|unless|or)\b")


@dataclass(frozen=True)
class Mutant:
    """The changed rules, and what was changed."""

    rule: str
    change: str
    rules: list[Rule]


def _spots(pattern: re.Pattern[str], expr: str) -> list[tuple[int, int]]:
    return [match.span(1) for match in pattern.finditer(expr) if match[1]]


def _changed(rules: Sequence[Rule], pattern: re.Pattern[str], number: int, change: Callable[[str], str]) -> list[Rule]:
    found = []
    for rule in rules:
        begin, end = _spots(pattern, rule["expr"])[number]
        expr = rule["expr"][:begin] + change(rule["expr"][begin:end]) + rule["expr"][end:]
        found.append({**rule, "expr": expr})
    return found


def _scaled(number: str, factor: float) -> str:
    # Nought times anything is nought.
    return f"{float(number) * factor:.10g}" if float(number) else str(int(factor > 1) * 2 - 1)


def _longer(duration: str, factor: float) -> str:
    return f"{int(int(duration[:-1]) * UNITS[duration[-1]] * factor)}s"


def _in_expression(name: str, rules: Sequence[Rule]) -> Iterator[Mutant]:
    expr = rules[0]["expr"]
    for kind, pattern, changes in (
        ("comparison", COMPARISON, (FLIPPED.__getitem__, TWIN.__getitem__)),
        ("threshold", THRESHOLD, (lambda n: _scaled(n, 0.8), lambda n: _scaled(n, 1.25))),
        ("set operator", SET, (OTHER_SET.__getitem__,)),
    ):
        for number, (begin, end) in enumerate(_spots(pattern, expr)):
            for change in changes:
                what = f"{kind} {number + 1}: {expr[begin:end]} -> {change(expr[begin:end])}"
                yield Mutant(name, what, _changed(rules, pattern, number, change))


def _durations(name: str, rules: Sequence[Rule]) -> Iterator[Mutant]:
    for place in ("[", "offset "):
        for duration in sorted(set(re.findall(rf"{re.escape(place)}(\d+[smhd])", rules[0]["expr"]))):
            for factor in (0.5, 2):
                old, new = f"{place}{duration}", f"{place}{_longer(duration, factor)}"
                changed = [{**rule, "expr": rule["expr"].replace(old, new)} for rule in rules]
                yield Mutant(name, f"{old.strip('[')} -> {new.strip('[')}", changed)


def _hold(name: str, rules: Sequence[Rule]) -> Iterator[Mutant]:
    if hold := rules[0].get("for"):
        for factor in (0.5, 2):
            new = _longer(hold, factor)
            yield Mutant(name, f"for {hold} -> {new}", [{**rule, "for": new} for rule in rules])


def mutants(name: str, rules: Sequence[Rule]) -> list[Mutant]:
    """Every mutant of the rules that are made of one entry."""
    return [*_in_expression(name, rules), *_durations(name, rules), *_hold(name, rules)]
