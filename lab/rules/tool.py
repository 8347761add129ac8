"""Run cases by vmalert-tool, which evaluates the rules as vmalert does, on a VictoriaMetrics of its own."""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
IN_WORDS: Final = "in words"


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


def _expected(case: Case, found: Sequence[Rule], says: str | None) -> list[dict[str, Any]]:
    meant = [rule for rule in found if case.subject.items() <= rule["labels"].items()]
    return [
        {
            "exp_labels": {"studio": "lab", **case.labels, **rule["labels"]},
            **({"exp_annotations": {"description": says}} if says else {}),
        }
        for rule in meant
    ]


def _with_studio(series: str) -> str:
    name, _, labels = series.partition("{")
    rest = labels.rstrip("}")
    return f'{name}{{studio="lab"{"," if rest else ""}{rest}}}'


def _test(case: Case, trial: Trial, names: Iterable[str]) -> dict[str, Any]:
    """The case as vmalert-tool reads it, of which each name of an alert in turn is expected."""
    firing = _expected(case, trial.expected, None)
    moments = sorted([(at, False) for at in case.silent] + [(at, True) for at in case.fires])
    asked = [(at, trial.group, name, firing if fires else []) for at, fires in moments for name in names]
    if case.says:
        asked.append((case.fires[-1], IN_WORDS, case.rule, _expected(case, trial.expected, case.says)))
    return {
        "name": case.name,
        "interval": f"{case.step}s",
        "input_series": [
            {"series": _with_studio(name), "values": notation(values)} for name, values in case.series.items()
        ],
        "alert_rule_test": [
            {"eval_time": f"{at}s", "groupname": group, "alertname": name, "exp_alerts": expected}
            for at, group, name, expected in asked
        ],
    }


def _without_text(found: Iterable[Rule]) -> list[Rule]:
    return [{**rule, "annotations": {}} for rule in found]


def _in_words(found: Iterable[Rule]) -> list[Rule]:
    return [{**rule, "annotations": {"description": rule["annotations"]["description"]}} for rule in found]


def _groups(found: dict[str, list[Rule]]) -> dict[str, Any]:
    return {"groups": [{"name": name, "rules": rules} for name, rules in found.items()]}


def _tests(every: int, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"rule_files": ["rules.yml"], "evaluation_interval": f"{every}s", "tests": found}


def unittest(root: Path, folder: Path, groups: dict[str, Any], tests: dict[str, Any]) -> Verdict:
    """Run the tool in a network namespace of its own, since it listens on port 8880 whatever it is told.

    It keeps its storage in TMPDIR.

    Raises:
        LabError: it could not judge.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yml").write_text(json.dumps(groups))
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


def judge(root: Path, folder: Path, cases: Iterable[Case], trial: Trial) -> Verdict:
    """Evaluate the rules on the cases; where a case `says` so, their descriptions at its last firing moment too.

    Args:
        root: where Debian's packages are unpacked (lab.plain.parts.build_root).
        folder: a folder of its own for the files.
    """
    said = []
    by_pace: dict[int, list[Case]] = {}
    for case in cases:
        by_pace.setdefault(case.every, []).append(case)
    for every, own in by_pace.items():
        groups = {trial.group: _without_text(trial.rules)}
        if any(case.says for case in own):
            groups[IN_WORDS] = _in_words(trial.rules)
        tests = _tests(every, [_test(case, trial, [case.rule]) for case in own])
        verdict = unittest(root, folder / f"{every}s", _groups(groups), tests)
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
        found = [{**rule, "alert": name} for name, own in left.items() for rule in _without_text(own)]
        tests = _tests(case.every, [_test(replace(case, says=None), trial, left)])
        verdict = unittest(root, folder, _groups({trial.group: found}), tests)
        # It stops at the first that cannot be evaluated at all, and names that one alone.
        cannot = set(NOT_EVALUATED.findall(verdict.said))
        odd |= cannot or set(NOT_AS_EXPECTED.findall(verdict.said))
        if ITSELF in odd or (not odd and not verdict.passed):
            raise LabError(f"{case.rule}, {case.name}: the rule itself does not hold:\n{verdict.said}")
        if not cannot:
            return odd
        left = {name: own for name, own in left.items() if name not in cannot}
