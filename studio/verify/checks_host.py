"""The machine: packages, account, generation, firewall."""

from studio.verify.expected import FIREWALL_UNIT, Expected
from studio.verify.facts import Facts

ROOT_GROUPS = {"root", "sudo", "wheel", "adm", "docker", "disk", "shadow"}


def check_packages_are_installed(facts: Facts) -> None:
    lacking = sorted(name for name, state in facts["packages"].items() if state != "installed")
    assert not lacking, f"not installed: {', '.join(lacking)}"


def check_account_exists_and_lingers(facts: Facts, expected: Expected) -> None:
    account = facts["account"]
    assert account["exists"], f"there is no account {expected.studio.host.user}"
    assert account["linger"], "linger is off: nothing would start at boot"
    assert account["subuid"], "it has no subordinate user ids: containers would share the account's"


def check_account_has_no_rights_of_root(facts: Facts) -> None:
    account = facts["account"]
    assert account["uid"] >= 100, f"its user id is {account['uid']}"
    found = ROOT_GROUPS & set(account["groups"])
    assert not found, f"it is in the groups {', '.join(sorted(found))}"


def check_generation_is_that_of_the_inventory(facts: Facts, expected: Expected) -> None:
    here = facts.status()["generation"]
    assert here == expected.bundle.generation, f"the host has {here}, the inventory gives {expected.bundle.generation}"


def check_nothing_is_unfinished(facts: Facts) -> None:
    status = facts.status()
    assert not status["pending"], f"a switch was begun and not ended: {status['pending']}"
    todo = [f"{step}: {reason}" for step, reasons in status["out_of_date"].items() for reason in reasons]
    assert not todo, "; ".join(todo)
    assert not status["problems"], "; ".join(status["problems"])


def check_firewall_is_loaded(facts: Facts, expected: Expected) -> None:
    loaded = facts["firewall"]["loaded"]
    assert loaded is not None, "the table inet sensor_pipeline is not loaded"
    wanted = _rules(expected.bundle.files["nftables/sensor-pipeline.nft"].content.decode())
    found = _rules(loaded)
    assert found == wanted, f"it has {found}, the inventory gives {wanted}"


def _rules(text: str) -> list[str]:
    """The lines inside the chains of a table, in order."""
    lines = [line.strip() for line in text.splitlines()]
    return [x for x in lines if x and not x.startswith(("#", "table", "delete", "chain", "}"))]


def check_firewall_is_loaded_at_boot(facts: Facts) -> None:
    state = facts["firewall"]["at_boot"]
    assert state == "enabled", f"{FIREWALL_UNIT} is {state}"
