"""The recorded series of the dashboards, evaluated by VictoriaMetrics' own vmalert-tool on known samples."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest

from dashboards.lint_queries import selectors
from dashboards.queries import targets
from dashboards.recorded import EVERY_SECONDS, Recorded
from dashboards.recordings import CATALOGUE
from lab.plain import parts
from lab.rules.tool import Verdict, unittest
from studio.model import load_studio
from studio.render.grafana import render
from studio.render.recorded import GROUP, rules

pytestmark = pytest.mark.services
STEP = 15
COUNTERS = (6, 3)
GAUGES = (10, 20)
GROWN = {"sum": sum(COUNTERS) * EVERY_SECONDS // STEP, "avg": sum(COUNTERS) * EVERY_SECONDS // STEP / 2}
HELD = {"sum": 30, "avg": 15, "min": 10, "max": 20}
OTHERS = {
    "furnace:furnace_furnace_temp:delta10m": 600,
    "furnace:furnace_furnace_temp:count5m": 20,
    "furnace:furnace_flame_voltage:variation5m": 0.25,
    "furnace:furnace_burner:avg": 0.5,
    "alertname_alertstate:ALERTS:count": 2,
    "type:ALERTS:count": 2,
    "component_id:vector_buffer_size_events:min5m": 10,
    "studio:pipeline_canary_sent_seconds:age": 200,
}
SAMPLES = 80
VALUES = {"mountpoint": "/"}
"""Of the labels whose value a rule is particular about; any other is `a`."""
AT = "20m"
OF_OTHERS = {
    'furnace_furnace_temp{furnace="a",label="A"}': f"1000+{STEP}x{SAMPLES}",
    'furnace_flame_voltage{furnace="a"}': "3 5" + " 3 5" * (SAMPLES // 2),
    'furnace_burner{furnace="a"}': "1 0" + " 1 0" * (SAMPLES // 2),
    'ALERTS{alertname="a",alertstate="firing",type="shop",furnace="a"}': f"1x{SAMPLES}",
    'ALERTS{alertname="a",alertstate="firing",type="shop",furnace="b"}': f"1x{SAMPLES}",
    'ALERTS{alertname="b",alertstate="pending",type="system"}': f"1x{SAMPLES}",
    "pipeline_canary_sent_seconds": f"1000x{SAMPLES}",
    'vector_buffer_size_events{component_id="a",n="0"}': "3 5" + " 3 5" * (SAMPLES // 2),
    'vector_buffer_size_events{component_id="a",n="1"}': f"7x{SAMPLES}",
}


def operation(one: Recorded) -> str:
    """What the rule does over the series: sum, avg, min or max."""
    return one.expr.partition(" ")[0]


def level(one: Recorded) -> list[str]:
    return one.expr.partition("(")[2].partition(")")[0].split(", ")


def usual(names: Iterable[str]) -> dict[str, str]:
    """Labels with values."""
    return {name: VALUES.get(name, "a") for name in names}


def series(metric: str, labels: dict[str, str]) -> str:
    return f"{metric}{{{','.join(f'{name}={value!r}' for name, value in sorted(labels.items()))}}}".replace("'", '"')


def known_inputs(found: list[Recorded]) -> dict[str, str]:
    """Two series of each metric that is read, with every label that a rule asks for; and one of another studio."""
    labels: dict[str, dict[str, str]] = defaultdict(dict)
    for one in found:
        for selector in selectors(promql.parse(one.expr.replace("<<studio>>", '"lab"'))):
            matched = promql.parse(selector).matchers.matchers
            equal = {m.name: m.value for m in matched if m.op == promql.MatchOp.Equal}
            labels[selector.partition("{")[0]] |= {**usual(level(one)), **equal}
    made = {}
    for metric, own in labels.items():
        counts = any(one.counter == metric for one in found)
        for n, value in enumerate(COUNTERS if counts else GAUGES):
            values = f"0+{value}x{SAMPLES}" if counts else f"{value}x{SAMPLES}"
            made[series(metric, {**own, "studio": "lab", "n": str(n)})] = values
        made[series(metric, {**own, "studio": "other"})] = f"0+1000x{SAMPLES}"
    return made


def judged(folder: Path, inputs: dict[str, str], expected: dict[str, dict[str, Any]]) -> Verdict:
    """Whether recorded series have expected values after twenty minutes; `expected` is by name: labels and value."""
    wanted = [rule for rule in rules(load_studio("lab")) if rule["record"] in expected]
    test = {
        "interval": f"{STEP}s",
        "input_series": [{"series": name, "values": values} for name, values in inputs.items()],
        "metricsql_expr_test": [
            {
                "expr": name,
                "eval_time": AT,
                "exp_samples": [{"labels": series(name, {**own["labels"], "studio": "lab"}), "value": own["value"]}],
            }
            for name, own in expected.items()
        ],
    }
    group = {"groups": [{"name": GROUP, "interval": f"{EVERY_SECONDS}s", "rules": wanted}]}
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": f"{EVERY_SECONDS}s", "tests": [test]}
    return unittest(parts.build_root(), folder, group, tests)


def labels_of(one: Recorded) -> dict[str, str]:
    """What a rule leaves of the labels of the inputs."""
    own = usual(name for name in level(one) if name != "studio")
    fixed = promql.parse(selectors(promql.parse(one.expr.replace("<<studio>>", '"lab"')))[0]).matchers.matchers
    return own | {m.name: m.value for m in fixed if m.name in own and m.op == promql.MatchOp.Equal}


def simple() -> dict[str, dict[str, Any]]:
    found = {name: one for name, one in CATALOGUE.items() if name not in OTHERS}
    return {
        name: {"labels": labels_of(one), "value": (GROWN if one.counter else HELD)[operation(one)]}
        for name, one in found.items()
    }


def test_growth_and_gauges_are_summed_up_by_their_level_and_for_this_studio_alone(tmp_path: Path) -> None:
    expected = simple()
    assert len(expected) > 80
    verdict = judged(tmp_path, known_inputs([CATALOGUE[name] for name in expected]), expected)
    assert verdict.passed, verdict.said


def test_what_is_neither_has_the_value_that_its_samples_say(tmp_path: Path) -> None:
    lab = {
        f'{name[:-1]},studio="lab"}}' if "{" in name else f'{name}{{studio="lab"}}': v for name, v in OF_OTHERS.items()
    }
    expected = {name: {"labels": labels_of(CATALOGUE[name]), "value": value} for name, value in OTHERS.items()}
    expected["alertname_alertstate:ALERTS:count"]["labels"] = {"alertname": "a", "alertstate": "firing"}
    expected["type:ALERTS:count"]["labels"] = {"type": "shop"}
    verdict = judged(tmp_path, lab, expected)
    assert verdict.passed, verdict.said


def test_the_figure_of_disks_is_that_of_the_fullest_one_that_is_watched(tmp_path: Path) -> None:
    content = render(load_studio("lab"))["grafana/device_health.json"].content
    (card, _) = [t for t in targets(json.loads(content)) if t.panel == "Disk free"]
    free = {("/", "ext4"): 40, ("/mnt/archive", "ext4"): 7, ("/boot/firmware", "vfat"): 2, ("/var", "tmpfs"): 1}
    inputs = {
        series(f"node_filesystem_{what}_bytes", {"studio": "lab", "mountpoint": mount, "fstype": kind}): f"{value}x9"
        for (mount, kind), left in free.items()
        for what, value in (("avail", left), ("size", 100))
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in inputs.items()],
        "metricsql_expr_test": [{"expr": card.expr, "eval_time": "5m", "exp_samples": [{"value": 0.07}]}],
    }
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    verdict = unittest(
        parts.build_root(), tmp_path, {"groups": [{"name": GROUP, "rules": rules(load_studio("lab"))}]}, tests
    )
    assert verdict.passed, verdict.said


def test_a_wrong_value_is_told(tmp_path: Path) -> None:
    """What says that the tool compares at all."""
    name = "studio:live_sessions:sum"
    expected = {name: {"labels": {}, "value": 31}}
    verdict = judged(tmp_path, known_inputs([CATALOGUE[name]]), expected)
    assert not verdict.passed
    assert name in verdict.said
