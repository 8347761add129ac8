"""The data's way: retention, targets, rules, receivers, and samples that are fresh."""

import re

import pytest
import yaml

from dashboards.recorded import EVERY_SECONDS
from studio.model import Furnace
from studio.render.victoriametrics import SCRAPE_SECONDS
from studio.verify.expected import LOOK_BACK, Expected
from studio.verify.facts import Facts, missing

CANARY_SECONDS = 90
WARM_UP_SECONDS = 120
SCRAPED_AGAIN_SECONDS = 2 * SCRAPE_SECONDS
"""What was being started at the last scrape is up at the next."""
EVALUATED_AGAIN_SECONDS = EVERY_SECONDS + 30
"""The slowest group's turn, and a start: what the storage did not answer then is asked again."""


def warming_up(facts: Facts, what: str, *units: str, enough: int = WARM_UP_SECONDS) -> None:
    """Not a failure yet while all services that have to do with it have just been started."""
    seconds = max(facts.running_seconds(unit) for unit in units)
    if seconds < enough:
        pytest.skip(f"{what}: {', '.join(units)} started {seconds:.0f} s ago")


def check_retention_is_that_of_the_inventory(facts: Facts, expected: Expected) -> None:
    found = re.search(r'^-retentionPeriod="?([^"\n]*)"?', facts.url("flags"), re.MULTILINE)
    here = found.group(1) if found else "the default of a month"
    assert here == expected.studio.retention, (
        f"VictoriaMetrics keeps {here}, the inventory gives {expected.studio.retention}"
    )


def check_scrape_targets_are_up(facts: Facts, expected: Expected) -> None:
    targets = facts.url("targets")["data"]["activeTargets"]
    difference = missing(set(expected.manifest["scrape_jobs"]), {t["labels"]["job"] for t in targets})
    assert not difference, difference
    down = [t for t in targets if t["health"] != "up"]
    told = "; ".join(f"{t['labels']['job']}: {t['lastError'] or 'not asked yet'}" for t in down)
    if down and not any(t["lastError"] for t in down):
        warming_up(facts, told, "victoriametrics.service")
    if down:
        unit_of = {c["name"]: c["unit"] for c in expected.components}
        units = [unit_of[t["labels"]["job"]] for t in down]
        warming_up(facts, told, *units, enough=SCRAPED_AGAIN_SECONDS)
    assert not down, told


def check_rules_are_loaded(facts: Facts, expected: Expected) -> None:
    groups = facts.url("rules")["data"]["groups"]
    found = {(g["name"], rule["name"]) for g in groups for rule in g["rules"]}
    wanted = {(group, rule) for group, rules in expected.manifest["rules"].items() for rule in rules}
    difference = missing({"/".join(x) for x in wanted}, {"/".join(x) for x in found})
    assert not difference, difference


def check_rules_are_evaluated(facts: Facts) -> None:
    groups = facts.url("rules")["data"]["groups"]
    failing = [f"{r['name']}: {r['lastError'][:100]}" for g in groups for r in g["rules"] if r["lastError"]]
    if failing:
        warming_up(facts, "; ".join(failing), "victoriametrics.service", enough=EVALUATED_AGAIN_SECONDS)
    assert not failing, "; ".join(failing)


def check_alertmanager_has_its_receivers_and_routes(facts: Facts, expected: Expected) -> None:
    here = yaml.safe_load(facts.url("alertmanager")["config"]["original"])
    wanted = yaml.safe_load(expected.bundle.files["alertmanager/alertmanager.yml"].content)
    difference = missing({r["name"] for r in wanted["receivers"]}, {r["name"] for r in here["receivers"]})
    assert not difference, f"receivers {difference}"
    assert _routes(here["route"]) == _routes(wanted["route"]), f"its routes are {_routes(here['route'])}"


def _routes(route: dict[str, object]) -> list[tuple[str, str]]:
    below = route.get("routes") or []
    assert isinstance(below, list)
    # Alertmanager tells the matchers of a route in an order of its own.
    own = (str(route["receiver"]), ",".join(sorted(map(str, route.get("matchers") or []))))  # type: ignore[call-overload]
    return [own, *(pair for child in below for pair in _routes(child))]


def check_alerts_reach_alertmanager(facts: Facts) -> None:
    names = {a["labels"]["alertname"] for a in facts.url("alerts")}
    if "Watchdog" not in names:
        warming_up(facts, "the watchdog has not come yet", "alertmanager.service")
        warming_up(facts, "the watchdog has not come yet", "vmalert.service")
    assert "Watchdog" in names, "the watchdog, which always fires, is not there: vmalert's alerts do not arrive"


def check_canary_comes_through(facts: Facts) -> None:
    age = min(facts.ages("canary", "studio").values(), default=None)
    if age is None or age > CANARY_SECONDS:
        warming_up(facts, "monit sends the first canary soon", "monit.service")
        warming_up(facts, "no canary came through yet", "vector.service")
    assert age is not None, "no canary ever came through broker, Vector and VictoriaMetrics"
    assert age <= CANARY_SECONDS, f"the last one came through {age:.0f} s ago"


def check_furnace_sends(facts: Facts, furnace: Furnace) -> None:
    if furnace.off:
        pytest.skip("switched off")
    age = facts.ages("furnaces", "furnace").get(furnace.id)
    if age is None:
        pytest.skip(f"waiting for data: nothing came within {LOOK_BACK}")
    limit = furnace.no_data_minutes * 60
    assert age <= limit, f"its newest temperature is {age:.0f} s old, the limit is {limit} s"
