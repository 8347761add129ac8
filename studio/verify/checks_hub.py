"""The hub: it works, tells nothing to strangers, and what it writes for the broker gets there."""

from studio.verify.checks_data import warming_up
from studio.verify.expected import ACCOUNTS_UNIT, AS_SCRAPER, Component, Expected
from studio.verify.facts import Facts

PROTECTED = ("hub live view", "hub metrics", "hub devices")
REFUSED = (401, 429)
"""429: who asks too often without a login, as many verifications in a row do, is not even listened to."""


def check_hub_takes_writes_and_has_no_problem(facts: Facts, expected: Expected, hub: Component) -> None:
    told = facts.url("hub ready")
    assert told["status"] == "ok", f"it says: {told}"
    problems = "; ".join(f"{part}: {why}" for part, why in told["problems"].items())
    if problems:
        # A part that was just started is asked again within seconds.
        unit_of = {c["name"]: c["unit"] for c in expected.components}
        about = [(hub["unit"], unit_of.get(part.lower(), hub["unit"])) for part in told["problems"]]
        warming_up(facts, problems, *(min(units, key=facts.running_seconds) for units in about))
    assert not problems, problems


def check_hub_tells_nothing_without_a_login(facts: Facts, hub: Component) -> None:
    open_to_all = [name for name in PROTECTED if facts["urls"][name]["status"] not in REFUSED]
    told = ", ".join(f"{name}: {facts['urls'][name]['status']}" for name in open_to_all)
    assert not open_to_all, f"{hub['name']} answered without the admin token: {told}"
    page = facts["urls"]["hub page"]
    assert page["status"] == 200, f"the page does not answer: {page['status']}"
    assert 'action="/login"' in page["text"], "a stranger is not asked to log in"


def check_hub_lets_the_scraper_read_metrics_alone(facts: Facts, hub: Component) -> None:
    metrics, devices = (facts["urls"][name]["status"] for name in AS_SCRAPER)
    assert metrics == 200, f"{hub['name']} answers {metrics} to VictoriaMetrics' token"
    assert devices in REFUSED, f"VictoriaMetrics' token opens more than the metrics: the devices' list says {devices}"


def check_hub_metrics_arrive_in_storage(facts: Facts, hub: Component) -> None:
    found = facts.url("hub series")["data"]["result"]
    if not found:
        warming_up(facts, "its metrics have not been asked for yet", hub["unit"])
    assert found, "VictoriaMetrics has none of its metrics"


def check_accounts_that_the_hub_adds_reach_the_broker(facts: Facts, expected: Expected, hub: Component) -> None:
    refused = facts.status()["provisioned"]["refused"]
    assert not refused, f"the accounts that it added are refused: {refused}"
    state = facts["host_units"].get(ACCOUNTS_UNIT, {}).get("ActiveState", "not there")
    assert state == "active", f"nobody watches for them: {ACCOUNTS_UNIT} is {state}"
    spools = [f["path"] for f in expected.folders if f["mode"] == "0700"]
    waiting = [
        f"{path}/hub.json" for path in spools if f"{path.partition('/state/')[2]}/hub.json" in facts["tree"]["state"]
    ]
    assert not waiting, f"{hub['name']} left {', '.join(waiting)}, and nobody took it over"


def check_folder_that_the_hub_writes_to_is_its_own(facts: Facts, expected: Expected, hub: Component) -> None:
    inside = int(expected.quadlet(hub)["User"][0])
    wanted = facts["account"]["subuid"][0][0] + inside - 1
    wrong = [
        f"{f['path']} is {there.get('mode')} of {there.get('uid')}"
        for f in expected.folders
        if (there := facts["tree"]["folders"][f["path"]])
        and (there.get("mode"), there.get("uid")) != (f["mode"], wanted)
    ]
    assert not wrong, "; ".join(wrong)
