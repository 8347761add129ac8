"""Preflight: every reason against a host at once, each saying what to do."""

import copy
from typing import Any

import pytest
from hostctl_support import bare, manifest, running

from hostctl.plan import plan


def problems(**changes: Any) -> list[str]:
    wanted = manifest()
    return plan(wanted, {**copy.deepcopy(bare(wanted)), **changes}).problems


def test_a_fresh_debian_13_is_fit() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"os": {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian 12", "VERSION_CODENAME": ""}}, "Debian 12"),
        ({"os": {"ID": "ubuntu", "VERSION_ID": "26", "PRETTY_NAME": "Ubuntu", "VERSION_CODENAME": ""}}, "Ubuntu"),
        ({"os": {"ID": "", "VERSION_ID": "", "PRETTY_NAME": "", "VERSION_CODENAME": ""}}, "an unknown system"),
        ({"architecture": "armv7l"}, "armv7l"),
        ({"systemd": False}, "systemd is not running"),
        ({"cgroup2": False}, "control groups are not version 2"),
        ({"packages": {"podman": "4.3.1+ds1-8"}}, "podman is 4.3.1+ds1-8; 5 or newer"),
        ({"memory_mb": 400}, "the memory is 400 MB"),
        ({"disk_free_mb": 1000}, "/var/lib has 1000 MB free; 3000 MB"),
        ({"given": [], "new_secrets": []}, "mmonit-password has no value: set STUDIO_SECRET_MMONIT_PASSWORD"),
        ({"archives": {"vector": False}}, "vector.tar"),
        ({"foreign_folders": ["/var/log"]}, "/var/log is needed for the hub, but something else is in it"),
        (
            {"ports": [{"port": 1883, "pid": 7, "program": "mosquitto", "units": ["mosquitto.service"]}]},
            "port 1883 is needed for hivemq (mqtt), but mosquitto (process 7) listens there",
        ),
    ],
)
def test_one_thing_that_is_wrong_is_told(changes: dict[str, Any], text: str) -> None:
    (only,) = problems(**changes)
    assert text in only


def test_raspberry_pi_os_and_debian_testing_are_fit() -> None:
    for name, version, code in (("raspbian", "13", "trixie"), ("debian", "", "forky")):
        system = {"ID": name, "VERSION_ID": version, "PRETTY_NAME": name, "VERSION_CODENAME": code}
        assert problems(os=system, architecture="aarch64") == []


def test_all_problems_are_told_at_once() -> None:
    assert len(problems(architecture="armv7l", systemd=False, memory_mb=1, disk_free_mb=1)) == 4


def test_a_port_that_one_of_our_own_services_holds_is_no_problem() -> None:
    ours = {"port": 1883, "pid": 7, "program": "java", "units": ["user@1001.service", "hivemq.service"]}
    assert problems(ports=[ours]) == []


@pytest.mark.parametrize(
    ("account", "text"),
    [
        ({"exists": True, "uid": 33}, "a system account (uid 33)"),
        ({"exists": True, "uid": 1001, "subuid": {"own": [[100000, 1000]], "others": []}}, "1000 ids in /etc/subuid"),
        (
            {"exists": True, "uid": 1001, "subgid": {"own": [[100000, 65536]], "others": [[120000, 65536]]}},
            "overlap with 120000:65536",
        ),
    ],
)
def test_an_account_that_cannot_run_containers_is_told(account: dict[str, Any], text: str) -> None:
    (only,) = problems(account={**bare(manifest())["account"], **account})
    assert text in only


def test_a_required_secret_that_is_only_a_placeholder_is_a_problem() -> None:
    wanted = manifest()
    found = plan(wanted, {**running(wanted), "unset_secrets": ["mmonit-password"]})
    assert "mmonit-password" in found.problems[0]


def test_an_optional_secret_without_a_value_is_a_warning() -> None:
    secrets = [{**s, "required": False} for s in manifest().secrets]
    wanted = manifest(secrets=secrets)
    found = plan(wanted, {**running(wanted), "unset_secrets": ["mmonit-password"]})
    assert found.problems == []
    assert "what needs it will not work" in found.warnings[0]


def test_a_deployed_host_needs_little_space() -> None:
    wanted = manifest()
    assert plan(wanted, {**running(wanted), "disk_free_mb": 400}).problems == []
    assert plan(wanted, {**running(wanted), "disk_free_mb": 200}).problems
