"""The alert catalogue: complete entries, rules that follow the inventory, a runbook for each."""

import re
from typing import Any

import pytest
import yaml

from studio.model import Studio, load_studio
from studio.render import catalogue, render, rules

LAB = load_studio("lab")
ENTRIES = [alert for group in catalogue.catalogue().values() for alert in group]


def changed(**update: Any) -> Studio:
    return Studio.model_validate({**LAB.model_dump(), **update})


def only(name: str, studio: Studio = LAB) -> list[dict[str, Any]]:
    return [r for found in rules.groups(studio).values() for r in found if r.get("alert") == name]


def inhibitions() -> list[dict[str, Any]]:
    config = yaml.safe_load(render(LAB).files["alertmanager/alertmanager.yml"].content)
    return list(config["inhibit_rules"])


def off(*ids: str) -> Studio:
    return changed(furnaces=[{**f.model_dump(), "off": f.id in ids} for f in LAB.furnaces])


def test_names_are_unique() -> None:
    assert len({a.name for a in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("alert", ENTRIES, ids=lambda a: a.name)
def test_an_entry_is_complete(alert: catalogue.Alert) -> None:
    assert set(alert.types) <= {"shop", "system"}
    assert alert.severity in {"critical", "warning", "info", "none"}
    assert not re.search(r"\{\{|<<", alert.summary), "a summary is the same for every firing"
    assert alert.description.endswith(".")


def test_pages_that_are_published_are_linked_there() -> None:
    base = "https://example.org/runbook/"
    (watchdog,) = only("Watchdog", changed(alerts={**LAB.alerts.model_dump(), "runbooks": base}))
    assert watchdog["annotations"]["runbook_url"] == "https://example.org/runbook/Watchdog.md"


def test_a_threshold_is_written_once_and_can_be_asked_for() -> None:
    assert catalogue.threshold("HostHot") == 78
    for alert in ENTRIES:
        assert (alert.threshold is not None) == ("<<threshold>>" in alert.expr)
    with pytest.raises(ValueError, match="VectorDown has no threshold"):
        catalogue.threshold("VectorDown")


def test_an_entrys_own_values_are_filled_in() -> None:
    (rule,) = only("DiskFills24h")
    assert "[6h], 86400) < 0" in rule["expr"]
    assert rule["expr"].endswith(">= 36")


def test_windows_grow_with_the_interval_of_a_furnace_that_sends_seldom() -> None:
    seldom = {**LAB.furnaces[0].model_dump(), "expected_interval_seconds": 120, "no_data_minutes": 30}
    (rule,) = only("SamplesSparse", changed(furnaces=[seldom]))
    assert "[40m])) / 20.0 < 0.75" in rule["expr"]
    assert "[10m])) / 600.0 < 0.75" in only("SamplesSparse")[0]["expr"]


def test_no_placeholder_is_left() -> None:
    for found in rules.groups(LAB).values():
        for rule in found:
            assert "<<" not in str(rule)


def test_limits_are_in_celsius_whatever_the_furnaces_unit() -> None:
    (main, glory_hole) = only("FurnaceTempHigh")
    assert main["expr"].endswith("> 1180.0")
    assert glory_hole["expr"].endswith("> 1232.222")
    assert {r["expr"].split("< ")[1] for r in only("FurnaceTempLow")} == {"1050.0", "1037.778"}


def test_each_furnace_has_its_own_patience() -> None:
    furnaces = [{**f.model_dump(), "no_data_minutes": n} for f, n in zip(LAB.furnaces, (3, 45), strict=True)]
    found = only("FurnaceNoData", changed(furnaces=furnaces))
    assert [re.findall(r"\[(\d+m)\]", r["expr"])[0] for r in found] == ["3m", "45m"]
    silent = only("AllFurnacesSilent", changed(furnaces=furnaces))
    # Its `for` is the rest of the three minutes.
    assert {(*re.findall(r"\[(\d+s)\]", r["expr"]), r["for"]) for r in silent} == {("150s", "30s")}


def test_absence_counts_when_the_storage_was_there_for_it_and_five_minutes_more() -> None:
    furnaces = [{**f.model_dump(), "no_data_minutes": n} for f, n in zip(LAB.furnaces, (3, 45), strict=True)]
    found = {"FurnaceNoData": ["8m", "50m"], "HubDown": ["6m"], "TargetDown": ["7m"], "CameraNoData": ["15m"]}
    for name, looked in found.items():
        exprs = [rule["expr"] for rule in only(name, changed(furnaces=furnaces))]
        assert [re.findall(r"\[(\w+):30s\]", expr) for expr in exprs] == [[one] for one in looked]
    silent = only("AllFurnacesSilent", changed(furnaces=furnaces))
    assert {rule["expr"].count("[450s:30s]") for rule in silent} == {1}


# What looks at absence and needs no such thing: its own `for` is longer than any start.
LONG = {"HostMetricsMissing": "10m", "FurnaceNoDataExpected": "15m", "FurnaceLimitMissing": "15m"}


def test_every_rule_on_absence_or_on_up_waits_for_a_start() -> None:
    looks = {a.name: a for a in ENTRIES if re.search(r"\babsent|\bunless\b|\bup\{|_connected\b", a.expr)}
    without = {name: a.hold for name, a in looks.items() if a.absence is None}
    # SinkStalled needs that something is received, and Vector sends it on at once; the others that a flame is seen.
    # StorageReadOnly waits for one sample, which comes within a quarter of a minute of a start.
    flames = {"FlameErratic": "<<window>>", "FlameAnomaly": "10m", "FlameDrift": "1h"}
    short = {**flames, "SinkStalled": "1m", "StorageReadOnly": "1m"}
    assert without == {**LONG, **short}


def test_no_data_is_matched_by_equality_so_that_it_names_its_furnace() -> None:
    for name in ("FurnaceNoData", "FurnaceNoDataExpected", "FlameNoData"):
        for rule in only(name):
            assert f'furnace="{rule["labels"]["furnace"]}"' in rule["expr"]


def test_a_furnace_that_is_off_has_no_shop_alerts() -> None:
    found = rules.groups(off("glory-hole"))["shop"]
    assert {r["labels"].get("furnace") for r in found} == {"main"}
    assert not any("glory-hole" in r["expr"] for r in found)


def test_all_furnaces_off_leaves_no_shop_group() -> None:
    assert set(rules.groups(off("main", "glory-hole"))) == {"slow", "system", "inventory"}
    assert "vmalert/rules/shop.yml" not in render(off("main", "glory-hole")).files


def test_flame_rules_are_for_furnaces_with_a_flame_sensor() -> None:
    assert [r["labels"]["furnace"] for r in only("FlameOut")] == ["main"]
    assert [r["labels"]["furnace"] for r in only("FlameErratic")] == ["main"]


def test_all_furnaces_silent_tells_both_and_needs_several_furnaces() -> None:
    assert [r["labels"]["type"] for r in only("AllFurnacesSilent")] == ["shop", "system"]
    assert only("AllFurnacesSilent", off("main")) == []


def test_an_inhibition_names_alerts_that_exist_and_never_crosses_types() -> None:
    names = {a.name for a in ENTRIES}
    found = inhibitions()
    assert len(found) == len([a for a in ENTRIES if a.inhibits])
    for rule in found:
        (source,), (target,) = rule["source_matchers"], rule["target_matchers"]
        for matcher in (source, target):
            assert set(re.findall(r'"(.*?)"', matcher)[0].split("|")) <= names
        assert {"studio", "type"} <= set(rule["equal"])


def test_what_one_furnace_does_hides_nothing_of_another() -> None:
    for rule in inhibitions():
        name = re.findall(r'"(.*?)"', rule["source_matchers"][0])[0]
        assert ("furnace" in rule["equal"]) == (catalogue.entries()[name].each in {"furnace", "flame"})


def test_nothing_but_a_failing_delivery_stops_the_heartbeat() -> None:
    assert [a.name for a in ENTRIES if "Watchdog" in a.inhibits] == ["DeliveryFailing"]
    assert {r["labels"]["type"] for r in only("DeliveryFailing")} == {"shop", "system"}


def test_the_watchdog_always_fires_and_goes_to_the_heartbeat() -> None:
    (watchdog,) = only("Watchdog")
    assert watchdog["expr"] == "vector(1)"
    assert "for" not in watchdog


def test_the_inventory_is_there_as_series() -> None:
    found = {(r["record"], r["labels"]["furnace"]): r["expr"] for r in rules.groups(off("main"))["inventory"]}
    assert found["furnace_expected", "main"] == "vector(0)"
    assert found["furnace_expected", "glory-hole"] == "vector(1)"
    assert found["furnace_limit_high", "main"] == "vector(1180.0)"


def test_an_unknown_key_of_an_entry_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "shop.yaml").write_text("- {alert: X, sevrity: none}\n")
    monkeypatch.setattr(catalogue, "ALERTS", tmp_path)
    with pytest.raises(ValueError, match="X has unknown keys: sevrity"):
        catalogue.read("shop")


def test_every_job_that_a_rule_names_is_scraped() -> None:
    scraped = yaml.safe_load(render(LAB).files["victoriametrics/scrape.yml"].content)["scrape_configs"]
    named = {
        job for alert in ENTRIES for jobs in re.findall(r'job[!=~]+"(.*?)"', alert.expr) for job in jobs.split("|")
    }
    assert named == {"vector", "hub", "victoriametrics"}
    assert named <= {job["job_name"] for job in scraped}
