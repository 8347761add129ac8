"""Every check of `studio verify` says exactly one thing, and can fail."""

import importlib
import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest
from verify_facts import FIRST, NOW, right

from studio.model import load_studio
from studio.verify import facts as facts_module
from studio.verify import run as runner
from studio.verify.expected import Expected
from studio.verify.run import Outcome, Result

EXPECTED = Expected.of(load_studio("lab"))
Facts = dict[str, Any]
Key = tuple[str, str]


def judged(facts: Facts) -> list[Result]:
    """What the checks say of these facts, called one by one: a pytest session for each case would take minutes."""
    found = []
    for path in sorted(runner.HERE.glob("checks_*.py")):
        module = importlib.import_module(f"studio.verify.{path.stem}")
        for name, check in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("check_"):
                found += [said(check, *pair, facts) for pair in subjects(check)]
    return found


def subjects(check: Callable[..., None]) -> list[tuple[str, dict[str, Any]]]:
    """The names of a check's subjects, each with its argument."""
    wanted = inspect.signature(check).parameters
    named = [name for name in runner.NAMED if name in wanted]
    return [(name, {named[0]: value}) for name, value in runner.NAMED[named[0]](EXPECTED)] if named else [("", {})]


def said(check: Callable[..., None], subject: str, arguments: dict[str, Any], facts: Facts) -> Result:
    given = {"facts": facts_module.Facts(facts), "expected": EXPECTED, **arguments}
    outcome: Outcome = "ok"
    detail = ""
    try:
        check(**{key: given[key] for key in inspect.signature(check).parameters})
    except pytest.skip.Exception as skipped:
        outcome, detail = "waiting", str(skipped)
    except (Exception, pytest.fail.Exception) as error:
        outcome, detail = "failed", str(error)
    group = check.__module__.rpartition("checks_")[2]
    return Result(group, check.__name__.removeprefix("check_").replace("_", " "), subject, outcome, detail)


def keys(results: list[Result], outcome: str) -> set[Key]:
    return {(r.check, r.subject) for r in results if r.outcome == outcome}


def test_everything_is_fine_on_a_host_that_is_as_expected() -> None:
    results = runner.judge(EXPECTED, right(EXPECTED))
    assert keys(results, "failed") == set()
    assert keys(results, "waiting") == set()
    assert len(results) > 100
    assert set(results) == set(judged(right(EXPECTED))), "these tests call the checks as the command does"


def test_a_failure_and_a_waiting_are_told_in_the_checks_own_words() -> None:
    facts = right(EXPECTED)
    put("config-files", "packages", "podman")(facts)
    put([], "urls", "furnaces", "json", "data", "result")(facts)
    results = [r for r in runner.judge(EXPECTED, facts) if r.outcome != "ok"]
    assert [(r.group, r.subject, r.outcome, r.detail) for r in results] == [
        ("host", "", "failed", "not installed: podman"),
        ("data", "main", "waiting", "waiting for data: nothing came within 30d"),
        ("data", "glory-hole", "waiting", "waiting for data: nothing came within 30d"),
    ]


def test_only_some_checks_can_be_asked_for() -> None:
    assert {r.check for r in runner.judge(EXPECTED, right(EXPECTED), "firewall")} == {
        "firewall is loaded",
        "firewall is loaded at boot",
    }


def status(**change: Any) -> Callable[[Facts], None]:
    def broken(facts: Facts) -> None:
        facts["status"][1] = json.dumps({**json.loads(facts["status"][1]), **change})

    return broken


def put(value: Any, *path: str | int) -> Callable[[Facts], None]:
    """The breakage that replaces one fact."""

    def broken(facts: Facts) -> None:
        *above, last = path
        owner: Any = facts
        for step in above:
            owner = owner[step]
        owner[last] = value

    return broken


def listener(**change: Any) -> Callable[[Facts], None]:
    stranger = {"protocol": "tcp", "address": "0.0.0.0", "port": 8099, "program": "x", "pids": [1], "uids": [FIRST + 7]}
    return lambda facts: facts["listeners"].append({**stranger, **change})


def gone(port: int) -> Callable[[Facts], None]:
    return lambda facts: facts["listeners"].remove(next(x for x in facts["listeners"] if x["port"] == port))


def without(name: str, what: str) -> Callable[[Facts], None]:
    def broken(facts: Facts) -> None:
        if what == "target":
            targets = facts["urls"]["targets"]["json"]["data"]["activeTargets"]
            targets[:] = [t for t in targets if t["labels"]["job"] != name]
        if what == "rule":
            for group in facts["urls"]["rules"]["json"]["data"]["groups"]:
                group["rules"] = [rule for rule in group["rules"] if rule["name"] != name]

    return broken


def rule_error(facts: Facts) -> None:
    facts["urls"]["rules"]["json"]["data"]["groups"][0]["rules"][0]["lastError"] = "no such function"


def target_down(facts: Facts) -> None:
    facts["urls"]["targets"]["json"]["data"]["activeTargets"][0] |= {"health": "down", "lastError": "refused"}


def other_receiver(facts: Facts) -> None:
    answer = facts["urls"]["alertmanager"]["json"]["config"]
    answer["original"] = answer["original"].replace("irm-shop", "irm-chop")


def other_route(facts: Facts) -> None:
    answer = facts["urls"]["alertmanager"]["json"]["config"]
    answer["original"] = answer["original"].replace('type="shop"', 'type="system"')


def extra_file(facts: Facts) -> None:
    facts["tree"]["generation"]["extra"] = {"kind": "file", "mode": "0644", "sha256": "", "uid": 0, "gid": 0}


def sample(age: float, name: str, *, furnace: int = 0) -> Callable[[Facts], None]:
    return put(f"{NOW - age}", "urls", name, "json", "data", "result", furnace, "value", 1)


BROKEN: list[tuple[str, str, Callable[[Facts], None]]] = [
    ("packages are installed", "", put("config-files", "packages", "podman")),
    ("account exists and lingers", "", put(False, "account", "linger")),
    ("account has no rights of root", "", put(["studio", "sudo"], "account", "groups")),
    ("generation is that of the inventory", "", status(generation="0" * 16)),
    ("nothing is unfinished", "", status(pending={"from": "a", "to": "b"})),
    ("nothing is unfinished", "", status(out_of_date={"restart": ["vector: its configuration changed"]})),
    ("firewall is loaded", "", put(None, "firewall", "loaded")),
    ("firewall is loaded", "", put('iifname "lo" accept\n', "firewall", "loaded")),
    ("firewall is loaded at boot", "", put("disabled", "firewall", "at_boot")),
    ("unit is active", "vector", put("failed", "user_units", "vector.service", "ActiveState")),
    ("unit is active", "monit", put("inactive", "host_units", "monit.service", "ActiveState")),
    ("unit starts at boot", "hivemq", put("False", "user_units", "hivemq.service", "Wanted")),
    ("unit starts at boot", "monit", put("False", "host_units", "monit.service", "Wanted")),
    ("answers its health url", "vector", put(503, "urls", "health vector", "status")),
    ("container is healthy", "hivemq", put("unhealthy", "containers", "hivemq", "health")),
    ("runs what the inventory gives", "vmalert", put({}, "containers", "vmalert", "labels")),
    ("image is the declared one", "vector", put("docker.io/x/y:1", "containers", "vector", "image")),
    ("image is the declared one", "vector", put(False, "containers", "vector", "image_is_current")),
    ("is rootless with its own user", "hivemq", put("0\t0\t0\t0", "containers", "hivemq", "process", "Uid")),
    ("gains no privileges", "hivemq", put("0", "containers", "hivemq", "process", "NoNewPrivs")),
    ("gains no privileges", "hivemq", put("0", "containers", "hivemq", "process", "Seccomp")),
    ("gains no privileges", "hivemq", put("0000000000000400", "containers", "hivemq", "process", "CapBnd")),
    ("root is read only", "vmalert", put(False, "containers", "vmalert", "read_only")),
    ("root is read only", "vmalert", put(True, "containers", "vmalert", "privileged")),
    ("listens as declared", "victoriametrics", gone(8428)),
    ("nothing listens that is not declared", "", listener()),
    ("nothing listens that is not declared", "", listener(address="127.0.0.1")),
    ("nothing listens that is not declared", "", listener(address="::", port=8428)),
    ("nothing listens that is not declared", "", listener(protocol="udp")),
    ("tls certificate is ours", "mqtt-tls", put("certificate verify failed", "tls", "mqtt-tls", "error")),
    ("tls certificate is ours", "mqtt-tls", put(3.0, "tls", "mqtt-tls", "days_left")),
    ("tls certificate is ours", "mqtt-tls", put("TLSv1.1", "tls", "mqtt-tls", "version")),
    ("tls certificate is ours", "mqtt-tls", put("trusted", "tls", "mqtt-tls", "stranger")),
    ("tls listener refuses plain mqtt", "https", put("20", "tls", "https", "plain")),
    ("tls listener refuses plain mqtt", "https", put("no connection", "tls", "https", "plain")),
    ("stranger is refused", "anonymous", put("Success", "broker", "anonymous")),
    ("stranger is refused", "wrong password", put("no connection: refused", "broker", "wrong password")),
    ("account may read what is its own", "hub", put({"#": "Not authorized"}, "broker", "accounts", "hub", "subscribe")),
    ("account may not read more", "device-fern",
     put("Granted QoS 1", "broker", "accounts", "device-fern", "subscribe", "#")),
    ("account may not read more", "hub", put(["pipeline/canary"], "broker", "accounts", "hub", "heard")),
    ("account may not write elsewhere", "monit",
     put("Success", "broker", "accounts", "monit", "publish", "furnace/main/telemetry")),
    ("account may not write elsewhere", "monit",
     put("no answer", "broker", "accounts", "monit", "publish", "furnace/main/telemetry")),
    ("canary is taken and heard by vector", "", put("Not authorized", "broker", "canary")),
    ("canary is taken and heard by vector", "", put([], "broker", "accounts", "vector", "heard")),
    ("hub takes writes and has no problem", "hub", put(503, "urls", "hub ready", "status")),
    ("hub takes writes and has no problem", "hub", put({"mqtt": "away"}, "urls", "hub ready", "json", "problems")),
    ("hub tells nothing without a login", "hub", put(200, "urls", "hub metrics", "status")),
    ("hub tells nothing without a login", "hub", put(200, "urls", "hub live view", "status")),
    ("hub tells nothing without a login", "hub", put("<h1>Studio</h1>", "urls", "hub page", "text")),
    ("hub lets the scraper read metrics alone", "hub", put(401, "urls", "hub metrics as scraper", "status")),
    ("hub lets the scraper read metrics alone", "hub", put(200, "urls", "hub devices as scraper", "status")),
    ("hub metrics arrive in storage", "hub", put([], "urls", "hub series", "json", "data", "result")),
    ("accounts that the hub adds reach the broker", "hub", status(provisioned={"refused": "it is no JSON"})),
    ("accounts that the hub adds reach the broker", "hub",
     put("failed", "host_units", "sensor-pipeline-accounts.path", "ActiveState")),
    ("accounts that the hub adds reach the broker", "hub",
     put({"kind": "file"}, "tree", "state", "hub/accounts/hub.json")),
    ("folder that the hub writes to is its own", "hub",
     put("0777", "tree", "folders", "/var/lib/sensor-pipeline/state/hub/accounts", "mode")),
    ("folder that the hub writes to is its own", "hub",
     put(0, "tree", "folders", "/opt/projectplant/data/provisioning", "uid")),
    ("retention is that of the inventory", "", put("-other=1\n", "urls", "flags", "text")),
    ("retention is that of the inventory", "", put('-retentionPeriod="1y"\n', "urls", "flags", "text")),
    ("scrape targets are up", "", without("vector", "target")),
    ("scrape targets are up", "", target_down),
    ("rules are loaded", "", without("FurnaceTempHigh", "rule")),
    ("rules are evaluated", "", rule_error),
    ("alertmanager has its receivers and routes", "", other_receiver),
    ("alertmanager has its receivers and routes", "", other_route),
    ("alerts reach alertmanager", "", put([], "urls", "alerts", "json")),
    ("canary comes through", "", sample(300, "canary")),
    ("canary comes through", "", put([], "urls", "canary", "json", "data", "result")),
    ("furnace sends", "main", sample(121, "furnaces")),
    ("monit watches what is declared", "", lambda facts: facts["monit"]["checks"].pop("vector")),
    ("monit finds nothing wrong", "", put("Status failed", "monit", "checks", "mqtt-canary")),
    ("generation is unchanged", "", put("0", "tree", "generation", "vector/vector.yaml", "sha256")),
    ("generation is unchanged", "", extra_file),
    ("generation belongs to root with the right modes", "", put("0644", "tree", "generation", "monit/monitrc", "mode")),
    ("generation belongs to root with the right modes", "",
     put(1001, "tree", "generation", "vector/vector.yaml", "uid")),
    ("generation belongs to root with the right modes", "", put("0775", "tree", "generation", "bin", "mode")),
    ("only root can change the folders", "", put("0777", "tree", "state", "hivemq-rbac", "mode")),
    ("only root can change the folders", "", put(1001, "tree", "extensions", ".", "uid")),
    ("links lead to the generation", "", put({"kind": "absent"}, "tree", "quadlets")),
    ("links lead to the generation", "", put("folder", "tree", "current", "target")),
    ("secrets are for root alone", "", put("0640", "tree", "secrets", "broker-monit", "mode")),
    ("secrets are for root alone", "", put("0755", "tree", "secrets", ".", "mode")),
    ("secrets are for root alone", "", put(1001, "tree", "secrets", "broker-monit", "uid")),
    ("broker accounts are for the broker alone", "",
     put("0444", "tree", "state", "hivemq-rbac/credentials.xml", "mode")),
    ("broker accounts are for the broker alone", "", put(0, "tree", "state", "hivemq-rbac/credentials.xml", "uid")),
    ("every secret is there", "", lambda facts: facts["secrets_present"].remove("broker-hub")),
    ("every secret has a value", "", status(secrets=[{"name": "irm-shop-url", "set": False}])),
    *[("no secret is to be seen in", place, put(["broker-hub: there"], "leaks", place)) for place in runner.PLACES],
]  # fmt: skip


@pytest.mark.parametrize(("check", "subject", "broken"), BROKEN, ids=[f"{c} {s}".strip() for c, s, _ in BROKEN])
def test_one_thing_wrong_fails_one_check(check: str, subject: str, broken: Callable[[Facts], None]) -> None:
    facts = right(EXPECTED)
    broken(facts)
    results = judged(facts)
    assert keys(results, "failed") == {(check, subject)}
    assert all(r.detail for r in results if r.outcome == "failed"), "a failure says why"


def test_an_account_that_does_not_get_in_fails_all_that_depends_on_it() -> None:
    facts = right(EXPECTED)
    lost = {"connect": "Not authorized", "subscribe": {}, "publish": {}, "heard": []}
    facts["broker"]["accounts"]["device-fern"] = lost
    assert keys(judged(facts), "failed") == {
        (check, "device-fern")
        for check in (
            "account gets in with its password",
            "account may read what is its own",
            "account may not read more",
            "account may not write elsewhere",
        )
    }


def test_no_check_is_without_a_way_to_fail() -> None:
    known = {r.check for r in judged(right(EXPECTED))}
    assert known - {check for check, _, _ in BROKEN} == {"account gets in with its password"}


@pytest.mark.parametrize("at", [0, 99], ids=["old first", "old last"])
def test_a_furnace_that_was_renamed_is_judged_by_what_its_new_name_sends(at: int) -> None:
    facts = right(EXPECTED)
    old = {"metric": {"furnace": "main", "label": "Old name"}, "value": [NOW, f"{NOW - 9000}"]}
    facts["urls"]["furnaces"]["json"]["data"]["result"].insert(at, old)
    assert keys(judged(facts), "failed") == set()


def test_a_furnace_that_never_sent_is_waited_for() -> None:
    facts = right(EXPECTED)
    facts["urls"]["furnaces"]["json"]["data"]["result"] = []
    results = judged(facts)
    assert keys(results, "waiting") == {("furnace sends", "main"), ("furnace sends", "glory-hole")}
    assert keys(results, "failed") == set()


@pytest.mark.parametrize(
    ("check", "broken", "unit"),
    [
        ("canary comes through", sample(300, "canary"), ("host_units", "monit.service")),
        ("alerts reach alertmanager", put([], "urls", "alerts", "json"), ("user_units", "alertmanager.service")),
        ("scrape targets are up", target_down, ("user_units", "victoriametrics.service")),
        ("rules are evaluated", rule_error, ("user_units", "victoriametrics.service")),
    ],
)
def test_what_takes_its_time_after_a_start_is_waited_for(
    check: str, broken: Callable[[Facts], None], unit: tuple[str, str]
) -> None:
    facts = right(EXPECTED)
    broken(facts)
    facts[unit[0]][unit[1]]["Seconds"] = "20"
    results = judged(facts)
    assert keys(results, "waiting") == {(check, "")}
    assert keys(results, "failed") == set()


def test_a_part_that_the_hub_has_not_asked_again_since_its_start_is_waited_for() -> None:
    facts = right(EXPECTED)
    problems = {"VictoriaMetrics": "it does not answer (ConnectError)"}
    put(problems, "urls", "hub ready", "json", "problems")(facts)
    check = {("hub takes writes and has no problem", "hub")}
    assert keys(judged(facts), "failed") == check
    facts["user_units"]["victoriametrics.service"]["Seconds"] = "20"
    assert (keys(judged(facts), "waiting"), keys(judged(facts), "failed")) == (check, set())
    problems["mqtt"] = "the broker is away"
    assert keys(judged(facts), "failed") == check


def test_a_busy_machine_is_told_but_no_failure() -> None:
    facts = right(EXPECTED)
    facts["monit"]["checks"]["studio-lab"] = "Resource limit matched"
    assert keys(judged(facts), "waiting") == {("monit finds nothing wrong", "")}
    facts["monit"]["checks"]["root-filesystem"] = "Resource limit matched"
    assert keys(judged(facts), "failed") == {("monit finds nothing wrong", "")}


def test_what_could_not_be_found_out_fails() -> None:
    facts = right(EXPECTED)
    facts["broker"], facts["errors"] = None, {"broker": "ModuleNotFoundError: paho"}
    results = [r for r in judged(facts) if r.outcome == "failed"]
    assert {r.group for r in results} == {"broker"}
    assert {r.detail for r in results} == {"cannot be found out: ModuleNotFoundError: paho"}


def test_a_bare_host_fails_nearly_everything_and_waits_for_nothing() -> None:
    facts = {"account": {"exists": False}, "packages": {"podman": "absent"}, "tree": {}, "now": NOW}
    results = judged(facts)
    assert not keys(results, "ok") - {("tls", "")}
    assert not keys(results, "waiting")


def test_the_question_holds_no_secret_and_every_account() -> None:
    question = EXPECTED.question()
    assert [a["name"] for a in question["accounts"]] == [a["name"] for a in EXPECTED.manifest["broker_users"]]
    for about in question["accounts"]:
        assert not set(about["may_subscribe"]) & set(about["may_not_subscribe"])
        assert about["may_not_publish"]
        own = {
            p.topic
            for a in EXPECTED.accounts
            if a.name == about["name"]
            for p in a.permissions
            if p.activity == "PUBLISH"
        }
        assert not own & set(about["may_not_publish"])
