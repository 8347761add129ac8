"""The plan: from a manifest and a host's answer to the steps that have something to do."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hostctl_support import bare, changed_component, manifest, running

from hostctl.plan import STEPS, plan

State = dict[str, Any]
Change = Callable[[State], object]


def steps(change: Change) -> dict[str, list[str]]:
    """The plan for a host on which everything is right but for one change."""
    wanted = manifest()
    state = copy.deepcopy(running(wanted))
    change(state)
    return plan(wanted, state).steps


def test_nothing_is_to_do_where_everything_is_as_wanted() -> None:
    found = plan(manifest(), running(manifest()))
    assert found.empty
    assert not found.warnings


def test_a_bare_host_needs_every_step_in_order() -> None:
    found = plan(manifest(), bare(manifest()))
    assert tuple(found.steps) == STEPS
    assert found.problems == []


def container(unit: str, **changes: Any) -> Change:
    return lambda state: state["components"][f"{unit}.service"]["container"].update(changes)


def unit(name: str, **changes: Any) -> Change:
    return lambda state: state["components"][f"{name}.service"].update(changes)


def also(**changes: Any) -> Change:
    return lambda state: state.update(changes)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (container("vector", hash="0" * 16), {"restart": ["vector: its configuration changed"]}),
        (container("vector", studio="other"), {"restart": ["vector: its configuration changed"]}),
        (container("vector", health="unhealthy"), {"restart": ["vector: is not healthy"]}),
        (unit("vector", active="failed"), {"restart": ["vector: does not run"]}),
        (unit("vector", active="activating"), {"restart": ["vector: is still starting"]}),
        (unit("vector", container=None), {"restart": ["vector: runs without a container of ours"]}),
        (unit("monit", inputs=None), {"restart": ["monit: its configuration or a secret of it changed"]}),
        (unit("monit", enabled="disabled"), {"restart": ["monit: does not start at boot"]}),
        (also(marks=["hivemq"]), {"restart": ["hivemq: its files were replaced on the host"]}),
        (also(firewall=None), {"restart": ["firewall: its rules are not loaded"]}),
        (
            also(stale=[{"name": "mosquitto", "kind": "quadlet", "unit": "mosquitto.service"}]),
            {"restart": ["mosquitto: is no longer wanted"]},
        ),
        (
            also(pending={"from": "a" * 16, "to": manifest().generation}),
            {"restart": ["an earlier deploy did not see all services healthy"]},
        ),
        (also(links=["/etc/x"]), {"switch": ["/etc/x is wrong"]}),
        (
            also(damaged=["vector/vector.yaml"]),
            {
                "upload": ["vector/vector.yaml was changed on the host"],
                "restart": ["vector: its files were changed on the host"],
            },
        ),
        (also(packages={"podman": "5.4.2"}), {"packages": ["monit is missing"]}),
        (also(extension=None), {"extension": ["not in place"], "restart": ["hivemq: its extension changes"]}),
        (
            also(new_secrets=["mmonit-password"]),
            {
                "secrets": ["mmonit-password has a new value"],
                "restart": ["monit: the secret mmonit-password changes"],
            },
        ),
        (
            also(stale_host_secrets=["broker-monit"]),
            {"secrets": ["broker-monit is not as the host's programs read it"]},
        ),
        (
            also(tls={"needed": "it ends in 12 days"}),
            {"tls": ["it ends in 12 days"], "restart": ["hivemq: the secret tls-keystore changes"]},
        ),
        (also(broker={"needed": "they were changed on the host"}), {"broker": ["they were changed on the host"]}),
        (lambda s: s["images"].update(vector=False), {"images": ["vector is missing"]}),
        (lambda s: s["account"].update(broken=["shadow"]), {"account": ["it was made by half"]}),
        (lambda s: s["account"].update(linger=False), {"account": ["its services would stop at log-out"]}),
    ],
)
def test_one_thing_that_is_wrong_is_the_only_thing_done(change: Change, expected: dict[str, list[str]]) -> None:
    assert steps(change) == expected


def test_a_changed_component_is_uploaded_judged_switched_to_and_restarted_alone() -> None:
    before, after = manifest(), changed_component("vector", hash="f" * 16)
    state = {**running(before), "validated": False}
    found = plan(after, state).steps
    assert list(found) == ["upload", "validate", "switch", "restart", "prune"]
    assert found["restart"] == ["vector: its configuration changed"]


def test_a_generation_that_restarts_nothing_still_has_to_prove_itself() -> None:
    before, after = manifest(), manifest(title="another")
    state = {**running(before), "generations": [before.generation, after.generation]}
    assert plan(after, state).steps["restart"] == ["every service has to be healthy with the new generation"]


def test_a_generation_that_was_judged_before_is_not_judged_again() -> None:
    before, after = manifest(), changed_component("vector", hash="f" * 16)
    state = {**running(before), "generations": [before.generation, after.generation], "validated": True}
    assert list(plan(after, state).steps) == ["switch", "restart", "prune"]


def test_a_rotated_secret_restarts_exactly_its_users() -> None:
    assert steps(lambda s: s["secrets"].update({"broker-vector": "another"})) == {
        "restart": ["vector: the secret broker-vector changed"]
    }


def test_a_secret_in_the_environment_counts_as_rotated_when_it_is_younger_than_the_container() -> None:
    def rotate(state: State) -> None:
        state["secrets"]["tls-keystore-password"] = "another"
        state["secret_times"]["tls-keystore-password"] = 3000.0

    assert steps(rotate) == {"restart": ["hivemq: the secret tls-keystore-password changed"]}


def test_monit_reads_its_broker_password_each_time_so_a_new_one_restarts_nothing() -> None:
    def rotate(state: State) -> None:
        state["secrets"]["broker-monit"] = "another"
        state["host_secrets"]["broker-monit"] = "another"

    assert steps(rotate) == {}


def test_monit_reads_the_password_of_m_monit_when_it_starts() -> None:
    restart = {"restart": ["monit: its configuration or a secret of it changed"]}
    assert steps(lambda s: s["host_secrets"].update({"mmonit-password": "another"})) == restart


def test_services_restart_in_starting_order() -> None:
    found = plan(manifest(), bare(manifest())).steps["restart"]
    assert [line.split(":")[0] for line in found] == ["hivemq", "vector", "monit", "firewall"]
