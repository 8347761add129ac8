"""Secrets: all there, and nowhere but where they belong."""

from studio.verify.expected import Expected
from studio.verify.facts import Facts


def check_every_secret_is_there(facts: Facts, expected: Expected) -> None:
    lacking = sorted({s["name"] for s in expected.manifest["secrets"]} - set(facts["secrets_present"]))
    assert not lacking, f"missing: {', '.join(lacking)}"


def check_every_secret_has_a_value(facts: Facts) -> None:
    unset = [s["name"] for s in facts.status()["secrets"] if not s["set"]]
    assert not unset, f"without a value: {', '.join(unset)}; give it: studio secrets set NAME"


def check_no_secret_is_to_be_seen_in(facts: Facts, place: str) -> None:
    """One whose value is a word of few letters, or unset, cannot be looked for."""
    leaks = facts["leaks"]
    assert leaks["secrets"], "no secret's value is known, so nothing could be found"
    assert not leaks[place], "; ".join(leaks[place])
