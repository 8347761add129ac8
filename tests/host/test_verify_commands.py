"""The commands about a deployed studio, on its host and from another machine over SSH."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deploy_support import INVENTORY, StudioHost
from verify_support import command

from lab import keys
from lab.run import wait_for
from studio.paths import ROOT

pytestmark = pytest.mark.lab


def test_status_is_a_table_for_people_and_json_for_programs(studio: StudioHost) -> None:
    people = command(studio, "status", "lab")
    assert people.returncode == 0, people.stderr
    assert "(stand-in)" in next(line for line in people.stdout.splitlines() if line.strip().startswith("vector"))
    told = json.loads(command(studio, "status", "lab", "--json").stdout)
    assert told["healthy"] is True
    assert {c["name"]: c["stand_in"] for c in told["components"]}["vector"] is True
    assert {c["name"]: c["stand_in"] for c in told["components"]}["victoriametrics"] is False
    assert [f["id"] for f in told["furnaces"]] == ["main", "glory-hole"]
    assert told["unanswered"] == {}


def test_status_fails_while_a_service_is_down(studio: StudioHost) -> None:
    user = "systemctl --user -M studio@"
    studio.host.exec(f"{user} stop alertmanager.service")
    try:
        done = command(studio, "status", "lab")
    finally:
        studio.host.exec(f"{user} start alertmanager.service")
    assert done.returncode == 1
    assert "no answer about alerts" in done.stdout


def test_status_tells_a_furnaces_newest_temperature_and_its_age(studio: StudioHost) -> None:
    sample = "furnace,studio=lab,furnace=main,db=sensors furnace_temp=1123.4"
    studio.host.exec(["curl", "-fsS", "--data-binary", sample, "http://127.0.0.1:8428/write?db=sensors"])
    studio.host.exec("curl -fsS http://127.0.0.1:8428/internal/force_flush")

    def told() -> dict[str, Any]:
        furnaces: list[dict[str, Any]] = json.loads(command(studio, "status", "lab", "--json").stdout)["furnaces"]
        return furnaces[0]

    # For ten seconds VictoriaMetrics remembers that a furnace had no series.
    wait_for("the furnace has a temperature", lambda: told()["celsius"] is not None)
    main = told()
    assert main["celsius"] == 1123.4
    assert 0 <= main["age_seconds"] < 60
    assert main["late"] is False


def test_no_drift_after_a_deploy_and_drift_after_an_edit(studio: StudioHost) -> None:
    same = command(studio, "diff", "lab")
    assert (same.returncode, same.stderr) == (0, "")
    assert "no drift" in same.stdout
    studio.edit("inventories/lab.yaml", "high: 1180", "high: 1190")
    try:
        other = command(studio, "diff", "lab")
        told = json.loads(command(studio, "diff", "lab", "--json").stdout)
    finally:
        studio.edit("inventories/lab.yaml", "high: 1190", "high: 1180")
    assert other.returncode == 2
    assert "+++ wanted/vmalert/rules/" in other.stdout
    assert "\x1b" not in other.stdout
    assert told["restarts"] == ["hub", "vmalert"]
    assert told["host"] != told["wanted"]


def test_what_was_changed_on_the_host_is_drift(studio: StudioHost) -> None:
    file = "/var/lib/sensor-pipeline/current/loki/provisioning_alerts.yaml"
    studio.host.exec(f"cp -p {file} /root/kept; echo '# by hand' >> {file}")
    try:
        done = command(studio, "diff", "lab")
    finally:
        studio.host.exec(f"cp -p /root/kept {file}")
    assert done.returncode == 2
    assert "-# by hand" in done.stdout


def test_deploy_rollback_and_dry_run(studio: StudioHost) -> None:
    first = studio.status()["generation"]
    studio.edit("inventories/lab.yaml", "high: 1180", "high: 1195")
    try:
        dry = command(studio, "deploy", "lab", "--dry")
        assert dry.returncode == 0, dry.stderr
        assert studio.status()["generation"] == first
        assert "1195" in dry.stdout
        done = command(studio, "deploy", "lab")
        assert done.returncode == 0, done.stderr
        second = studio.status()["generation"]
        assert second != first
    finally:
        studio.edit("inventories/lab.yaml", "high: 1195", "high: 1180")
    back = command(studio, "rollback", "lab")
    assert back.returncode == 0, back.stderr
    assert studio.status()["generation"] == first
    there = command(studio, "rollback", "lab", "--to", second[:6])
    assert there.returncode == 0, there.stderr
    assert studio.status()["generation"] == second
    assert command(studio, "rollback", "lab", "--to", "ffff").returncode == 2
    assert command(studio, "rollback", "lab", "--to", first).returncode == 0


def test_a_bad_inventory_is_refused_and_the_host_stays_as_it_is(studio: StudioHost) -> None:
    before = studio.untouched()
    studio.edit("inventories/lab.yaml", "low: 1050", "low: hot")
    try:
        done = command(studio, "deploy", "lab")
    finally:
        studio.edit("inventories/lab.yaml", "low: hot", "low: 1050")
    assert done.returncode == 2
    assert "furnaces[0].low: 'hot' stands where a number is wanted" in done.stderr
    assert "Traceback" not in done.stderr
    assert studio.untouched() == before


def test_secrets_are_listed_without_values_shown_alone_and_set_by_standard_input(studio: StudioHost) -> None:
    listed = json.loads(command(studio, "secrets", "list", "lab", "--json").stdout)
    assert {s["name"]: s["origin"] for s in listed}["irm-shop-url"] == "user"
    value = command(studio, "secrets", "show", "irm-shop-url", "lab").stdout
    assert value.startswith("http://127.0.0.1:")
    assert value.strip() not in json.dumps(listed)
    done = command(studio, "secrets", "set", "irm-shop-url", "lab", stdin=value)
    assert done.returncode == 0, done.stderr
    assert command(studio, "secrets", "rotate", "no-such-secret", "lab").returncode == 2


@pytest.fixture
def outside(studio: StudioHost, tmp_path: Path) -> Path:
    """The studio's inventory as another machine has it, its ssh knowing the lab's key; the log-in may use sudo only."""
    path = tmp_path / "lab.yaml"
    host = f"host: {{address: 127.0.0.1, port: {studio.host.port(22)}, login: artist}}"
    path.write_text(studio.host.read(INVENTORY).replace("name: lab\n", f"name: lab\n{host}\n"))
    options = keys.ssh_argv("artist", studio.host.port(22))
    program = tmp_path / "ssh"
    real = ["/usr/bin/ssh", *options[1:3], *options[5:-1]]
    program.write_text(f'#!/bin/sh\nexec {shlex.join(real)} "$@"\n')
    program.chmod(0o755)
    return path


def over_ssh(inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "studio.cli", *arguments]
    environment = {**os.environ, "PATH": f"{inventory.parent}:{os.environ['PATH']}", "STUDIO": str(inventory)}
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment, cwd=ROOT, timeout=120)


def test_over_ssh_by_an_account_that_uses_sudo(studio: StudioHost, outside: Path) -> None:
    told = over_ssh(outside, "status", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["generation"] == studio.status()["generation"]
    found = over_ssh(outside, "verify", "--json", "--only", "broker or network or packages")
    results = json.loads(found.stdout)["results"]
    assert len(results) > 30
    assert [r for r in results if r["outcome"] == "failed"] == []
    assert over_ssh(outside, "secrets", "list").returncode == 0


def test_a_deploy_over_ssh_by_an_account_that_uses_sudo(
    studio: StudioHost, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a user does it: the log-in's key is in the ssh configuration, the host is not known yet."""
    folder = outside.parent / ".ssh"
    folder.mkdir(0o700)
    (folder / "config").write_text(f"Host 127.0.0.1\n  IdentityFile {keys.private_key()}\n")
    monkeypatch.setenv("HOME", str(outside.parent))
    for name, value in studio.secrets.items():
        monkeypatch.setenv(name, value)
    outside.write_text(outside.read_text().replace("low: 1050", "low: 1051"))
    done = over_ssh(outside, "deploy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("lab is deployed; look at it: studio status lab\n")
    assert "1051" in studio.host.exec("cat /var/lib/sensor-pipeline/current/vmalert/rules/*.yml").stdout
    assert over_ssh(outside, "diff").returncode == 0
    assert over_ssh(outside, "rollback").returncode == 0


def test_over_ssh_to_nobody(studio: StudioHost, outside: Path) -> None:
    outside.write_text(outside.read_text().replace(f"port: {studio.host.port(22)}", "port: 1"))
    for name in ("status", "verify", "diff", "deploy", "rollback"):
        done = over_ssh(outside, name)
        assert done.returncode == 3, done.stdout + done.stderr
        assert done.stderr.startswith("studio: lab: artist@127.0.0.1 cannot be reached over SSH")
        assert len(done.stderr.splitlines()) == 1
