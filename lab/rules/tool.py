"""Run cases by vmalert-tool, which evaluates the rules as vmalert does, on a VictoriaMetrics of its own."""

import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def _test(case: Case, trial: Trial, with_text: bool) -> dict[str, Any]:
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
                "alertname": case.rule,
                "exp_alerts": firing if fires else [],
            }
            for at, fires in moments
        ],
    }


def _text(rule: Rule, with_text: bool) -> Rule:
    annotations = {"description": rule["annotations"]["description"]} if with_text else {}
    return {**rule, "annotations": annotations}


def _run(argv: Sequence[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the tool in a network namespace of its own, since it listens on port 8880 whatever it is told.

    It keeps its storage in TMPDIR.

    Raises:
        LabError: it could not judge.
    """
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
    return done


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
    for every, found in by_pace.items():
        own = folder / f"{every}s"
        own.mkdir(parents=True, exist_ok=True)
        document = {"groups": [{"name": trial.group, "rules": [_text(rule, with_text) for rule in trial.rules]}]}
        (own / "rules.yml").write_text(json.dumps(document))
        tests = [_test(case, trial, with_text) for case in found]
        (own / "tests.yml").write_text(
            json.dumps({"rule_files": ["rules.yml"], "evaluation_interval": f"{every}s", "tests": tests})
        )
        argv = parts.command(root, PROGRAM, "unittest", f"--files={own / 'tests.yml'}", "--external.label=studio=lab")
        done = _run(argv, own)
        if done.returncode:
            return Verdict(False, done.stdout + done.stderr)
        said.append(done.stdout)
    return Verdict(True, "".join(said))
