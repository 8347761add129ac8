"""How commands reach a studio's host: what ssh is given, and what is said when it does not work."""

import json
import os
from pathlib import Path

import pytest

from studio.bundle import Artifact, Bundle
from studio.cli import deploy, diff, status
from studio.cli.app import run
from studio.host import reach
from studio.model import Studio, load_studio

Output = pytest.CaptureFixture[str]
SSH = """#!/bin/sh
printf '%s\\n' "$@" > {folder}/argv
cat > {folder}/stdin
{does}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "far.yaml"
    path.write_text(
        "name: far\nhost: {address: far.example, login: artist, port: 2222}\n"
        "furnaces:\n  - {id: main, low: 1, high: 2}\n"
    )
    return path


@pytest.fixture
def far(inventory: Path) -> Studio:
    return load_studio(inventory)


class Ssh:
    """A program called ssh that notes what it is given and does what the test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def does(self, lines: str) -> None:
        program = self.folder / "ssh"
        program.write_text(SSH.format(folder=self.folder, does=lines))
        program.chmod(0o755)

    @property
    def argv(self) -> list[str]:
        return (self.folder / "argv").read_text().splitlines()

    @property
    def stdin(self) -> str:
        return (self.folder / "stdin").read_text()


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ssh:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return Ssh(folder)


@pytest.mark.parametrize("command", ["status", "diff", "deploy", "verify", "rollback"])
def test_a_host_that_cannot_be_reached_ends_every_command_with_3(
    command: str, inventory: Path, ssh: Ssh, capfd: Output
) -> None:
    ssh.does("echo 'ssh: connect to host far.example port 2222: No route to host' >&2; exit 255")
    assert run([command, str(inventory)]) == 3
    assert capfd.readouterr().err == (
        "studio: far: artist@far.example cannot be reached over SSH: ssh: connect to host far.example port 2222: "
        "No route to host; try `ssh -p 2222 artist@far.example`, and see host: in its inventory\n"
    )


def test_a_host_key_that_is_not_known_is_no_riddle(inventory: Path, ssh: Ssh, capfd: Output) -> None:
    ssh.does("echo 'Host key verification failed.' >&2; exit 255")
    assert run(["status", str(inventory)]) == 3
    assert capfd.readouterr().err == (
        "studio: far: the host key of artist@far.example is not known here; look at it and have it remembered: "
        "`ssh -p 2222 artist@far.example` (for a camera, `studio devices deploy` does so)\n"
    )


def test_a_host_key_that_is_another_one_is_refused_and_what_it_means_is_said(
    inventory: Path, ssh: Ssh, capfd: Output
) -> None:
    ssh.does("echo '@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.' >&2; exit 255")
    assert run(["status", str(inventory)]) == 3
    assert capfd.readouterr().err == (
        "studio: far: artist@far.example has another host key than the one that is remembered: it was installed anew, "
        "or another machine answers in its place. If you know that it is the right one: "
        "`ssh-keygen -R '[far.example]:2222'`, and then: `ssh -p 2222 artist@far.example` (for a camera, `studio "
        "devices deploy` does so)\n"
    )


def test_to_verify_a_host_with_nothing_deployed_says_so_once(inventory: Path, ssh: Ssh, capfd: Output) -> None:
    ssh.does("""echo '{"account": {"exists": false}}'""")
    assert run(["verify", str(inventory)]) == 1
    said = capfd.readouterr()
    assert said.err == "studio: far: nothing is deployed on its host yet: studio deploy far\n"
    assert said.out == ""


def test_an_account_without_sudo_ends_with_3_and_says_what_to_do(inventory: Path, ssh: Ssh, capfd: Output) -> None:
    ssh.does("echo 'sudo: a password is required' >&2; exit 1")
    assert run(["status", str(inventory)]) == 3
    assert "may not use sudo without a password" in capfd.readouterr().err


def test_a_host_that_hangs_is_given_up(far: Studio, ssh: Ssh) -> None:
    ssh.does("exec sleep 20")
    with pytest.raises(reach.Unreachable, match=r"no answer from artist@far\.example within 0\.2 s to `true`"):
        reach.run(far, ["true"], timeout=0.2)


def test_ssh_never_asks_and_takes_root_by_sudo(far: Studio, ssh: Ssh) -> None:
    ssh.does("exit 0")
    reach.run(far, ["cat", "a file"])
    assert ssh.argv[ssh.argv.index("-p") :][:4] == ["-p", "2222", "artist@far.example", "--"]
    assert "BatchMode=yes" in ssh.argv
    assert ssh.argv[-1] == """if [ "$(id -u)" = 0 ]; then exec cat 'a file'; else exec sudo -n -- cat 'a file'; fi"""


def test_a_host_without_a_generation_is_a_failure_that_says_so(inventory: Path, ssh: Ssh, capfd: Output) -> None:
    ssh.does("exit 97")
    assert run(["status", str(inventory)]) == 1
    assert capfd.readouterr().err == "studio: far: nothing is deployed on its host yet: studio deploy far\n"


def test_a_diff_against_a_host_without_a_generation_is_drift(inventory: Path, ssh: Ssh, capfd: Output) -> None:
    ssh.does("exit 97")
    assert run(["diff", str(inventory)]) == 2
    assert "nothing is deployed yet" in capfd.readouterr().out


def test_status_warns_of_what_the_host_says_and_of_alerts_that_go_to_nobody(
    inventory: Path, ssh: Ssh, capfd: Output
) -> None:
    told = {"components": [], "warnings": ["of the host"], "now": 1.0, "alerts": []}
    ssh.does(f"echo '{json.dumps(told)}'")
    assert run(["status", str(inventory), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["warnings"] == ["of the host", *load_studio(inventory).alerts.warnings()]


@pytest.mark.parametrize(("code", "ends"), [(1, 1), (2, 2), (75, 1)])
def test_what_hostctl_says_is_passed_on_with_its_exit_code(
    code: int, ends: int, inventory: Path, ssh: Ssh, capfd: Output
) -> None:
    ssh.does(f"echo 'hostctl: no such generation' >&2; exit {code}")
    assert run(["rollback", str(inventory), "--to", "abc"]) == ends
    assert capfd.readouterr().err == "studio: far: no such generation\n"
    assert "rollback abc" in ssh.argv[-1]


def test_a_secret_goes_by_standard_input_never_by_argument(
    inventory: Path, ssh: Ssh, capfd: Output, tmp_path: Path
) -> None:
    ssh.does("exit 0")
    value = tmp_path / "value"
    value.write_text("https://example.org/hunter2/\n")
    keyboard = os.dup(0)
    try:
        with value.open() as opened:
            os.dup2(opened.fileno(), 0)
            with os.fdopen(os.dup(0)) as stream, pytest.MonkeyPatch.context() as patch:
                patch.setattr("sys.stdin", stream)
                assert run(["secrets", "set", "irm-shop-url", str(inventory)]) == 0
    finally:
        os.dup2(keyboard, 0)
    assert ssh.stdin == "https://example.org/hunter2/"
    assert "hunter2" not in " ".join(ssh.argv)
    told = capfd.readouterr()
    assert "hunter2" not in told.out + told.err


def test_deploy_runs_pyinfra_with_the_inventorys_path(far: Studio) -> None:
    argv = deploy.pyinfra_argv(far, "/tmp/far.yaml", ["-y"])
    assert Path(argv[0]).name == "pyinfra"
    assert argv[1:] == [
        "far.example", "--ssh-port", "2222", "--ssh-user", "artist", "deploy.py", "--data", "studio=/tmp/far.yaml",
        "-y",
    ]  # fmt: skip
    here = deploy.pyinfra_argv(load_studio("lab"), "lab", ["--dry"])
    assert here[1:] == ["@local", "deploy.py", "--data", "studio=lab", "--dry"]


def test_the_diff_of_two_generations_is_by_file() -> None:
    old = {"a": Artifact.text("1\n2\n"), "b": Artifact.text("x"), "d": Artifact(b"\xff"), "m": Artifact.text("", 0o644)}
    new = {"a": Artifact.text("1\n3\n"), "c": Artifact.text("y"), "d": Artifact(b"\xfe"), "m": Artifact.text("", 0o600)}
    assert [(c.path, c.kind, c.lines) for c in diff.changes(old, new)] == [
        ("a", "changed", ("--- host/a", "+++ wanted/a", "@@ -1,2 +1,2 @@", " 1", "-2", "+3")),
        ("b", "removed", ("--- host/b", "+++ /dev/null", "@@ -1 +0,0 @@", "-x")),
        ("c", "added", ("--- /dev/null", "+++ wanted/c", "@@ -0,0 +1 @@", "+y")),
        ("d", "changed", ("binary files differ",)),
        ("m", "changed", ("mode 0644 -> 0600",)),
    ]
    assert diff.changes(old, old) == []


def test_the_services_to_restart_are_those_whose_inputs_differ() -> None:
    def bundle(**hashes: str) -> Bundle:
        return Bundle({}, {"components": [{"name": name, "hash": value} for name, value in hashes.items()]})

    here = dict(bundle(vector="1", hivemq="1", monit="1").all_files())
    assert diff.restarts(here, bundle(vector="2", mosquitto="1", monit="1")) == ["hivemq", "mosquitto", "vector"]
    assert diff.restarts({}, bundle(monit="1")) == ["monit"]


def rows(**values: float) -> dict[str, object]:
    return {"data": {"result": [{"metric": {"furnace": f}, "value": [0, str(v)]} for f, v in values.items()]}}


def test_a_furnaces_newest_temperature_has_its_age() -> None:
    studio = load_studio("rosewood")
    told = {"now": 1000.0, "values": rows(main=1101.5), "times": rows(main=988.0)}
    main, hole = status.furnaces(studio, told)
    assert (main["celsius"], main["age_seconds"], main["late"]) == (1101.5, 12.0, False)
    assert (hole["celsius"], hole["age_seconds"], hole["late"]) == (None, None, True)


def test_an_old_temperature_is_late() -> None:
    told = {"now": 1000.0, "values": rows(main=1101.5), "times": rows(main=300.0)}
    assert status.furnaces(load_studio("rosewood"), told)[0]["late"]


@pytest.mark.parametrize("order", [("Old name", "New name"), ("New name", "Old name")])
def test_a_furnace_that_was_renamed_tells_what_its_new_name_sends(order: tuple[str, str]) -> None:
    def answer(name: str, **by_label: float) -> dict[str, object]:
        labels = {"furnace": "main", **({"__name__": name} if name else {})}
        named = {label.replace("_", " "): value for label, value in by_label.items()}
        rows = [{"metric": {**labels, "label": label}, "value": [0, str(named[label])]} for label in order]
        return {"data": {"result": rows}}

    values = answer("furnace_furnace_temp", Old_name=900, New_name=1111)
    told = {"now": 10_000.0, "values": values, "times": answer("", Old_name=7000, New_name=9999)}
    main = status.furnaces(load_studio("rosewood"), told)[0]
    assert (main["celsius"], main["age_seconds"], main["late"]) == (1111, 1.0, False)


def test_no_answer_is_no_temperature() -> None:
    assert status.furnaces(load_studio("rosewood"), {"now": 0.0, "values": {"error": "refused"}})[0]["celsius"] is None


def test_the_watchdog_is_no_news() -> None:
    def alert(name: str) -> dict[str, object]:
        return {"labels": {"alertname": name, "type": "shop"}, "startsAt": "t", "annotations": {"summary": "s"}}

    assert [a["name"] for a in status.alerts({"alerts": [alert("Watchdog"), alert("FurnaceTempLow")]})] == [
        "FurnaceTempLow"
    ]
    assert status.alerts({"alerts": {"error": "refused"}}) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "never"), (3, "3 s"), (119, "119 s"), (600, "10 min"), (9000, "2 h"), (900000, "10 d")],
)
def test_ages_as_people_say_them(seconds: float | None, words: str) -> None:
    assert status.age(seconds) == words


def test_the_diff_is_coloured_on_a_terminal_only(capsys: Output) -> None:
    files = [{"path": "f", "kind": "changed", "diff": "-1\n+[red]2"}]
    told = {"studio": "x", "host": "a", "wanted": "b", "files": files,
            "restarts": [], "out_of_date": {}, "drift": True}  # fmt: skip
    diff.show(json.loads(json.dumps(told)))
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "+[red]2" in said
