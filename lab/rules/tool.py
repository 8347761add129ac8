"""Run cases by vmalert-tool, which evaluates the rules as vmalert does, on a VictoriaMetrics of its own."""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lab.plain import parts
from lab.rules.cases import Case
from lab.rules.values import notation
from lab.run import LabError
from studio.model import Studio
from studio.render import rules

Rule = dict[str, Any]
PROGRAM = "usr/bin/vmalert-tool"
TIMEOUT = 300
REFUSED = "unittest failed"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NOT_AS_EXPECTED: Final = re.compile(r"^ *groupname: .*?, alertname: (.*), time: ", re.MULTILINE)
NOT_EVALUATED: Final = re.compile(r'^failed to exec group: .*? err: rule "(.*?)": failed to execute: ', re.MULTILINE)
ITSELF: Final = "itself"


@dataclass(frozen=True)
class Verdict:
    """Whether all cases came out as expected, and what the tool said."""

    passed: bool
    said: str


@dataclass(frozen=True)
class Trial:
    """The rules to be judged, and those whose alerts are expected: the same, but for a mutant."""

    group: str
    expected: Sequence[Rule]
    rules: Sequence[Rule]


def trial(studio: Studio, name: str) -> Trial:
    """The rules that the inventory makes of one entry of the catalogue."""
    for group, found in rules.groups(studio).items():
        if own := [rule for rule in found if rule.get("alert") == name]:
            return Trial(group, own, own)
    raise KeyError(name)


def _expected(case: Case, found: Sequence[Rule], with_text: bool) -> list[dict[str, Any]]:
    meant = [rule for rule in found if case.subject.items() <= rule["labels"].items()]
    return [
        {
            "exp_labels": {"studio": "lab", **case.labels, **rule["labels"]},
            **({"exp_annotations": {"description": case.says}} if with_text else {}),
        }
        for rule in meant
    ]


def _with_studio(series: str) -> str:
    name, _, labels = series.partition("{")
    rest = labels.rstrip("}")
    return f'{name}{{studio="lab"{"," if rest else ""}{rest}}}'


def _test(case: Case, trial: Trial, names: Iterable[str], with_text: bool) -> dict[str, Any]:
    """The case as vmalert-tool reads it, of which each name of an alert in turn is expected."""
    firing = _expected(case, trial.expected, with_text)
    moments = sorted([(at, False) for at in case.silent] + [(at, True) for at in case.fires])
    return {
        "name": case.name,
        "interval": f"{case.step}s",
        "input_series": [
            {"series": _with_studio(name), "values": notation(values)} for name, values in case.series.items()
        ],
        "alert_rule_test": [
            {
                "eval_time": f"{at}s",
                "groupname": trial.group,
                "alertname": name,
                "exp_alerts": firing if fires else [],
            }
            for at, fires in moments
            for name in names
        ],
    }


def _text(rule: Rule, with_text: bool) -> Rule:
    annotations = {"description": rule["annotations"]["description"]} if with_text else {}
    return {**rule, "annotations": annotations}


def _group(name: str, found: Sequence[Rule]) -> dict[str, Any]:
    return {"groups": [{"name": name, "rules": found}]}


def _tests(every: int, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"rule_files": ["rules.yml"], "evaluation_interval": f"{every}s", "tests": found}


def unittest(root: Path, folder: Path, group: dict[str, Any], tests: dict[str, Any]) -> Verdict:
    """Run the tool in a network namespace of its own, since it listens on port 8880 whatever it is told.

    It keeps its storage in TMPDIR.

    Raises:
        LabError: it could not judge.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yml").write_text(json.dumps(group))
    (folder / "tests.yml").write_text(json.dumps(tests))
    argv = parts.command(root, PROGRAM, "unittest", f"--files={folder / 'tests.yml'}", "--external.label=studio=lab")
    mapped = [] if os.getuid() == 0 else ["--map-root-user"]
    alone = ["unshare", "--net", *mapped, "sh", "-c", 'ip link set lo up && exec "$0" "$@"']
    done = subprocess.run(
        [*alone, *argv],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=TIMEOUT,
        env={"PATH": PATH, "TMPDIR": str(folder)},
    )
    if done.returncode and REFUSED not in done.stdout + done.stderr:
        raise LabError(f"vmalert-tool could not judge:\n{done.stdout}{done.stderr}")
    return Verdict(done.returncode == 0, done.stdout + done.stderr)


def judge(root: Path, folder: Path, cases: Iterable[Case], trial: Trial, *, with_text: bool = False) -> Verdict:
    """Evaluate the rules on the cases.

    Args:
        root: where Debian's packages are unpacked (lab.plain.parts.build_root).
        folder: a folder of its own for the files.
        with_text: compare descriptions too.
    """
    said = []
    by_pace: dict[int, list[Case]] = {}
    for case in cases:
        by_pace.setdefault(case.every, []).append(case)
    group = _group(trial.group, [_text(rule, with_text) for rule in trial.rules])
    for every, own in by_pace.items():
        tests = _tests(every, [_test(case, trial, [case.rule], with_text) for case in own])
        verdict = unittest(root, folder / f"{every}s", group, tests)
        if not verdict.passed:
            return verdict
        said.append(verdict.said)
    return Verdict(True, "".join(said))


def told_apart(root: Path, folder: Path, case: Case, trial: Trial, variants: Mapping[str, Sequence[Rule]]) -> set[str]:
    """Which variants of the trial's rules does the case tell from them: those that do not do what it expects?

    All are evaluated at once, as alerts of one group with the variants' names, on the same stored samples; so are the
    rules themselves, which must do what it expects.

    Raises:
        LabError: it could not be judged, or the rules themselves do not hold.
    """
    left, odd = {ITSELF: trial.expected, **variants}, set[str]()
    while True:
        found = [{**_text(rule, False), "alert": name} for name, own in left.items() for rule in own]
        tests = _tests(case.every, [_test(case, trial, left, False)])
        verdict = unittest(root, folder, _group(trial.group, found), tests)
        # It stops at the first that cannot be evaluated at all, and names that one alone.
        cannot = set(NOT_EVALUATED.findall(verdict.said))
        odd |= cannot or set(NOT_AS_EXPECTED.findall(verdict.said))
        if ITSELF in odd or (not odd and not verdict.passed):
            raise LabError(f"{case.rule}, {case.name}: the rule itself does not hold:\n{verdict.said}")
        if not cannot:
            return odd
        left = {name: own for name, own in left.items() if name not in cannot}
