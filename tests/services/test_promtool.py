"""Prometheus' own checker over what is in its formats: the scrape configuration, and the rules in PromQL."""

import subprocess
from pathlib import Path

import pytest
import yaml

from lab.plain import parts

pytestmark = pytest.mark.services
GOLDEN = Path(__file__).parents[1] / "golden"
STUDIOS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
METRICSQL = {
    *("FlameAnomaly", "FlameDrift", "ServiceRestarted", "CrashLoop", "VectorDropped", "DeadLetters", "HubErrors"),
    *("RunnerErrors", "ProvisioningTimeouts", "ProvisioningRefused"),
}
"""Rules that PromQL has no words for (WITH, changes_prometheus, increase_pure); vmalert and vmalert-tool judge them."""


@pytest.fixture(scope="module")
def root() -> Path:
    return parts.build_root(("prometheus",))


def promtool(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = parts.command(root, "usr/bin/promtool", *arguments)
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", STUDIOS)
def test_every_rule_but_those_in_metricsql_is_promql(root: Path, name: str, tmp_path: Path) -> None:
    taken, left = 0, set()
    for path in sorted((GOLDEN / name / "vmalert/rules").glob("*.yml")):
        content = yaml.safe_load(path.read_text())
        for group in content["groups"]:
            left |= METRICSQL & {rule.get("alert") for rule in group["rules"]}
            group["rules"] = [rule for rule in group["rules"] if rule.get("alert") not in METRICSQL]
            taken += len(group["rules"])
        (tmp_path / path.name).write_text(yaml.safe_dump(content))
    done = promtool(root, "check", "rules", *map(str, sorted(tmp_path.iterdir())))
    assert done.returncode == 0, done.stdout + done.stderr
    counted = [int(line.split()[1]) for line in done.stdout.splitlines() if line.strip().startswith("SUCCESS:")]
    assert sum(counted) == taken > 100
    assert left == METRICSQL


@pytest.mark.parametrize("name", STUDIOS)
def test_the_scrape_configuration_is_prometheus_own(root: Path, name: str) -> None:
    done = promtool(root, "check", "config", "--syntax-only", str(GOLDEN / name / "victoriametrics/scrape.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_looks(root: Path, tmp_path: Path) -> None:
    rules, scrape = tmp_path / "rules.yml", tmp_path / "scrape.yml"
    rules.write_text("groups: [{name: x, rules: [{alert: A, expr: 'changes_prometheus(up[5m])'}]}]")
    assert "changes_prometheus" in promtool(root, "check", "rules", str(rules)).stderr
    scrape.write_text("scrape_configs: [{job_name: x, scrape_interva: 5s}]")
    assert "scrape_interva" in promtool(root, "check", "config", "--syntax-only", str(scrape)).stderr
