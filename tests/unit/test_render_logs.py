"""Rules for Loki, Promtail's and Alloy's configurations: as the provisioning document gives them, and all they need."""

import json
import re
from typing import Any

import promql_parser as promql
import pytest
import yaml

from studio.model import Studio, load_studio
from studio.paths import ROOT
from studio.render import loki, render
from studio.render.host_metrics import COLLECTORS
from studio.render.rules import groups

LAB = load_studio("lab")
RULES = [rule for found in loki.catalogue().values() for group in found for rule in group["rules"]]
CLOUD = {"metrics_url": "https://metrics.example.net/push", "user": "1"}
LOGS = {
    **LAB.logs.model_dump(),
    "loki_url": "https://logs.example.net/push",
    "provisioning_events": "/srv/provisioning/events.jsonl",
}
# The metrics that rules and dashboards read, and the collector of node_exporter that gives them.
OF_COLLECTOR = {
    "boot_time_seconds": "stat",
    "cpu_seconds_total": "cpu",
    "disk_": "diskstats",
    "filesystem_": "filesystem",
    "hwmon_temp_celsius": "hwmon",
    "load1": "loadavg",
    "memory_": "meminfo",
    "network_": "netdev",
    "thermal_zone_temp": "thermal_zone",
    "time_seconds": "time",
    "timex_": "timex",
}


def changed(**update: Any) -> Studio:
    return Studio.model_validate({**LAB.model_dump(), **update})


def rendered(path: str, studio: Studio = LAB) -> str:
    return render(studio).files[path].content.decode()


def test_the_provisioning_documents_rule_is_word_for_word_as_given() -> None:
    (group,) = yaml.safe_load(rendered("loki/provisioning_alerts.yaml"))["groups"]
    assert group["rules"][0] == {
        "alert": "ProjectPlantProvisioningTimeouts",
        "expr": 'sum(rate({job="provisioning",event="wait_timeout"}[10m])) > 0',
        "for": "10m",
        "labels": {"severity": "warning", "team": "projectplant"},
        "annotations": {
            "summary": "Provisioning timeouts detected",
            "description": "No device satisfied provisioning waiters in the last 10 minutes.\n"
            "Check BLE advertising, Wi-Fi credentials, and hub MQTT connectivity.\n",
        },
    }


@pytest.mark.parametrize("rule", [r for r in RULES if r["alert"] != loki.AS_GIVEN], ids=lambda r: r["alert"])
def test_every_other_rule_is_complete(rule: dict[str, Any]) -> None:
    assert rule["labels"]["type"] in {"shop", "system"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert "{{" not in rule["annotations"]["summary"], "a summary is the same for every firing"
    assert rule["annotations"]["description"].endswith(".")


def test_every_rule_but_the_given_one_leads_to_its_page() -> None:
    base = {**LAB.alerts.model_dump(), "runbooks": "https://example.org/runbook"}
    found = {
        rule["alert"]: rule["annotations"].get("runbook_url")
        for name in loki.catalogue()
        for group in yaml.safe_load(rendered(f"loki/{name}", changed(alerts=base)))["groups"]
        for rule in group["rules"]
    }
    assert list(found) == loki.names()
    assert found.pop(loki.AS_GIVEN) is None
    assert found == {name: f"https://example.org/runbook/{name}.md" for name in found}
    assert all((ROOT / f"docs/runbook/{name}.md").is_file() for name in loki.names())


def test_the_promtail_snippet_is_as_given_with_a_timestamp_stage() -> None:
    (job,) = yaml.safe_load(rendered("promtail/promtail-provisioning.yaml"))["scrape_configs"]
    fields = {name: name for name in ("event", "device_id", "method", "elapsed", "retained")}
    assert job == {
        "job_name": "projectplant_provisioning",
        "static_configs": [
            {
                "targets": ["localhost"],
                "labels": {"job": "provisioning", "__path__": "/opt/projectplant/data/provisioning/events.jsonl"},
            }
        ],
        "pipeline_stages": [
            {"json": {"expressions": {**fields, "waiters": "waiters_notified", "timestamp": "timestamp"}}},
            {"timestamp": {"source": "timestamp", "format": "RFC3339Nano"}},
            {"labels": {"event": None, "method": None, "retained": None}},
        ],
    }


@pytest.mark.parametrize("name", ["promtail-provisioning", "promtail-journal"])
def test_promtails_files_and_their_page_say_that_its_support_has_ended(name: str) -> None:
    first = rendered(f"promtail/{name}.yaml").splitlines()[0]
    assert "Promtail's support ended on 2 March 2026" in first
    assert "Promtail's support ended on 2 March 2026" in (ROOT / "docs/logs.md").read_text()


def test_the_event_files_path_is_the_inventorys_everywhere() -> None:
    studio = changed(logs=LOGS)
    for path in ("promtail/promtail-provisioning.yaml", "alloy/config.alloy"):
        assert '"/srv/provisioning/events.jsonl"' in rendered(path, studio)
        assert "projectplant/data" not in rendered(path, studio)


def test_alloy_ships_no_log_without_an_address_of_loki() -> None:
    assert "loki." not in rendered("alloy/config.alloy")
    assert "loki.write" in rendered("alloy/config.alloy", changed(logs=LOGS))


def test_host_metrics_are_the_same_by_node_exporter_and_by_alloy() -> None:
    assert set(OF_COLLECTOR.values()) <= set(COLLECTORS)
    flags = re.findall(r"--collector\.(\w+)(?= |\")", rendered("node_exporter/defaults"))
    assert "--collector.disable-defaults" in rendered("node_exporter/defaults")
    block = rendered("alloy/config.alloy", changed(device_metrics="alloy")).partition("set_collectors = [")[2]
    assert flags == re.findall(r'"(\w+)"', block.partition("]")[0]) == list(COLLECTORS)


def read() -> str:
    """Every expression of the alert rules and the dashboards."""
    rules = [rule["expr"] for found in groups(LAB).values() for rule in found]
    boards = [json.loads(a.content) for path, a in render(LAB).files.items() if path.startswith("grafana/")]
    targets = [target["expr"] for board in boards for panel in board["panels"] for target in panel.get("targets", [])]
    return "\n".join([*rules, *targets])


def test_every_host_metric_that_is_read_is_measured() -> None:
    metrics = set(re.findall(r"(?<![\w:])node_([a-z]\w+)", read())) - {"exporter"}
    assert len(metrics) > 10
    for metric in metrics:
        assert any(metric.startswith(prefix) for prefix in OF_COLLECTOR), f"which collector gives node_{metric}?"


def selectors(by: str) -> list[str]:
    """What the rendered copy asks of VictoriaMetrics."""
    text = rendered("alloy/config.alloy", changed(device_metrics=by, grafana_cloud=CLOUD))
    found: list[str] = json.loads(text.partition('"match[]" = ')[2].partition("}\n")[0])
    return found


def matchers(selector: str) -> list[Any]:
    found = promql.parse(selector)
    assert isinstance(found, promql.VectorSelector)
    named = promql.parse(f'{{__name__="{found.name}"}}').matchers.matchers if found.name else []
    return [*named, *found.matchers.matchers]


def takes(matcher: Any, labels: dict[str, str]) -> bool:
    value = labels.get(matcher.name, "")
    if matcher.op == promql.MatchOp.Re:
        return bool(re.fullmatch(matcher.value, value))
    equal: bool = matcher.value == value
    return equal if matcher.op == promql.MatchOp.Equal else not equal


def copied(asked: list[str], metric: str, job: str) -> bool:
    """Whether one of the selectors takes a series."""
    labels = {"__name__": metric, "job": job}
    return any(all(takes(m, labels) for m in matchers(selector)) for selector in asked)


@pytest.mark.parametrize("by", ["alloy", "node_exporter"])
def test_grafana_cloud_gets_every_metric_that_is_read_and_none_twice(by: str) -> None:
    asked = selectors(by)
    metrics = set(re.findall(r"([a-zA-Z][\w:]*)\{", read()))
    assert len(metrics) > 40
    for metric in metrics:
        itself = by == "alloy" and metric.startswith("node_")
        assert copied(asked, metric, "hub") != itself, metric
    assert copied(asked, "up", "node") == (by == "node_exporter"), "of the host, Alloy gives it with the host's metrics"
