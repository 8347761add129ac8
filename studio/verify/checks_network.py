"""The network: who listens where, and what the TLS listener shows."""

from typing import Any

from studio.verify.expected import Component, Expected
from studio.verify.facts import Facts

RENEW_DAYS = 14


def _ours(facts: Facts) -> list[dict[str, Any]]:
    """The listeners of the studio's account, and of the host's services that belong to it."""
    mains = {int(unit.get("MainPID") or 0) for unit in facts["host_units"].values()} - {0}
    return [x for x in facts["listeners"] if any(map(facts.ours, x["uids"])) or mains & set(x["pids"])]


def check_listens_as_declared(facts: Facts, listener: Component) -> None:
    here = {(x["address"], x["port"]) for x in _ours(facts) if x["protocol"] == "tcp"}
    wanted = {(x["address"], x["port"]) for x in listener["listens"]}
    lacking = [f"{address}:{port}" for address, port in sorted(wanted - here)]
    assert not lacking, f"nobody of ours listens on {', '.join(lacking)}"


def check_nothing_listens_that_is_not_declared(facts: Facts, expected: Expected) -> None:
    declared = {(x["address"], x["port"]) for c in expected.components for x in c["listens"]}
    extra = [x for x in _ours(facts) if x["protocol"] != "tcp" or (x["address"], x["port"]) not in declared]
    told = ", ".join(sorted(f"{x['program']} on {x['address']}:{x['port']}/{x['protocol']}" for x in extra))
    assert not extra, f"not declared: {told}"


def check_tls_certificate_is_ours(facts: Facts, secured: str) -> None:
    tls = facts["tls"][secured]
    assert tls["error"] is None, f"our authority does not vouch for it: {tls['error']}"
    assert tls["days_left"] > RENEW_DAYS, f"it ends in {tls['days_left']} days; a deploy renews it"
    assert tls["version"] in {"TLSv1.2", "TLSv1.3"}, f"it speaks {tls['version']}"
    assert tls["stranger"] != "trusted", "a public authority vouches for it: this is not our certificate"


def check_tls_listener_refuses_plain_mqtt(facts: Facts, secured: str) -> None:
    answer = facts["tls"][secured]["plain"]
    assert answer == "refused", f"MQTT without TLS got: {answer}"
