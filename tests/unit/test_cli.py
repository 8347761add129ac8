"""The command line: what it says, how it ends, and that no expected error shows a traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab import __main__ as lab_commands
from lab import demo
from studio.cli import app as commands
from studio.cli import chosen
from studio.cli.app import run
from studio.model import InventoryError
from studio.model.loader import names
from studio.model.schema import schema_text

NAMES = ["check", "render", "diff", "deploy", "verify", "status", "rollback", "demo", "secrets"]
HEAVY = {"pydantic", "yaml", "jinja2", "pytest", "testinfra", "pyinfra", "xmlschema"}
Output = pytest.CaptureFixture[str]


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yaml"
    path.write_text("name: bad\nbrokr: hivemq\nfurnaces:\n  - {id: main, low: hot, high: 1180}\n")
    return path


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    monkeypatch.delenv("STUDIO", raising=False)


@pytest.mark.parametrize("command", [[], *[[name] for name in NAMES], ["secrets", "set"], ["secrets", "rotate"]])
def test_every_command_teaches_by_example(command: list[str], capsys: Output) -> None:
    assert run([*command, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"studio {' '.join(command)}".strip() in said.partition("Examples")[2]
    assert "Exit codes: 0 fine, 1 failed, 2 bad input or drift, 3 the host cannot be reached." in said


def test_help_loads_none_of_what_the_commands_need() -> None:
    program = (
        "import sys\nfrom studio.cli.app import run\nassert run(['--help']) == 0\n"
        f"assert not {HEAVY!r} & set(sys.modules), {HEAVY!r} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_a_command_it_says_what_there_is(capsys: Output) -> None:
    assert run([]) == 2
    told = capsys.readouterr()
    assert all(name in told.out + told.err for name in NAMES)


def test_an_unknown_command_is_bad_input(capsys: Output) -> None:
    assert run(["deplyo"]) == 2
    assert "deplyo" in capsys.readouterr().err


def test_check_is_about_all_inventories_when_none_is_named(capsys: Output) -> None:
    assert run(["check"]) == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == names()


def test_check_tells_every_error_and_ends_with_2(bad: Path, capsys: Output) -> None:
    assert run(["check", "rosewood", str(bad)]) == 2
    told = capsys.readouterr()
    assert told.out == "rosewood: fine (furnaces: 2, devices: 3, broker: hivemq)\n"
    assert told.err.splitlines() == [
        f"studio: 2 problems in {bad}, nothing was done:",
        f"{bad}:2:1: brokr: a studio has no key 'brokr'; did you mean 'broker'?",
        f"{bad}:4:21: furnaces[0].low: 'hot' stands where a number is wanted; "
        "give a number: alert below it (5-minute mean), in `unit`",
    ]


def test_check_warns_of_alerts_that_go_to_nobody(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text("name: plain\nfurnaces:\n  - {id: main, low: 1050, high: 1180}\n")
    assert run(["check", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "plain: fine (furnaces: 1, devices: 1, broker: hivemq)",
        "plain: warning: nobody is told when a furnace is too cold or hot, its flame out, or its data missing: "
        "alerts.shop is not given",
        "plain: warning: nobody is told when a service restarts, a disk is full or the pipeline fails: "
        "alerts.system is not given",
        "plain: warning: nobody notices when the alerting itself stops: alerts.heartbeat is not given",
    ]
    assert run(["check", str(path), "--json"]) == 0
    [told] = json.loads(capsys.readouterr().out)
    assert [warning.rpartition(": ")[2].split()[0] for warning in told["warnings"]] == [
        "alerts.shop",
        "alerts.system",
        "alerts.heartbeat",
    ]


def test_check_has_no_warning_of_a_studio_whose_alerts_go_somewhere(capsys: Output) -> None:
    assert run(["check", "rosewood", "--json"]) == 0
    assert [entry["warnings"] for entry in json.loads(capsys.readouterr().out)] == [[]]


def test_check_for_programs(bad: Path, capsys: Output) -> None:
    assert run(["check", str(bad), "--json"]) == 2
    told = capsys.readouterr()
    assert told.err == ""
    [studio] = json.loads(told.out)
    assert [(p["line"], p["column"], p["field"]) for p in studio["problems"]] == [
        (2, 1, "brokr"),
        (4, 21, "furnaces[0].low"),
    ]


def test_check_prints_the_schema(capsys: Output) -> None:
    assert run(["check", "--schema"]) == 0
    assert capsys.readouterr().out == schema_text()


@pytest.mark.parametrize("command", ["render", "diff", "deploy", "verify", "status", "rollback"])
def test_a_bad_inventory_stops_every_command_before_it_does_anything(command: str, bad: Path, capsys: Output) -> None:
    assert run([command, str(bad)]) == 2
    assert "2 problems in" in capsys.readouterr().err


def test_a_studio_that_there_is_not_names_the_nearest(capsys: Output) -> None:
    assert run(["status", "rosewod"]) == 2
    assert "did you mean 'rosewood'? there is: lab, rosewood" in capsys.readouterr().err


def test_the_studio_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("STUDIO", "rosewood")
    assert run(["render", "--out", str(tmp_path), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "manifest.json").read_text())["studio"] == "rosewood"
    assert json.loads((tmp_path / "manifest.json").read_text())["generation"] == written["generation"]
    assert all((tmp_path / path).is_file() for path in written["files"])


def test_an_argument_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO", "rosewood")
    assert run(["render", "lab", "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "manifest.json").read_text())["studio"] == "lab"


def test_with_several_studios_one_must_be_named(capsys: Output) -> None:
    assert run(["status"]) == 2
    assert "which studio?; name one, or set STUDIO; there is: lab, rosewood" in capsys.readouterr().err


def test_the_only_studio_needs_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chosen, "only", lambda: "rosewood")
    assert chosen.studio(None).name == "rosewood"


def test_a_folder_that_cannot_be_written_to_is_a_failure(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "file").write_text("")
    assert run(["render", "rosewood", "--out", str(tmp_path / "file")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_an_error_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(arguments: list[str] | None) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(commands, "app", broken)
    with pytest.raises(ZeroDivisionError):
        run(["check"])


def test_the_installed_program_ends_with_its_exit_code(bad: Path) -> None:
    program = Path(sys.executable).with_name("studio")
    done = subprocess.run([program, "check", bad], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("studio: 2 problems")


def test_the_exception_for_programs_has_every_problem(bad: Path) -> None:
    with pytest.raises(InventoryError) as caught:
        chosen.studio(str(bad))
    assert len(caught.value.problems) == 2


def test_the_demos_options_are_named_and_reach_the_lab(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def lab(argv: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(argv[1:])
        return subprocess.CompletedProcess(argv, 1)

    assert run(["demo", "--help"]) == 0
    options = capsys.readouterr().out.partition("Examples")[0]
    assert all(option in options for option in ("--trouble", "--well", "--json", "--down"))
    monkeypatch.setattr(subprocess, "run", lab)
    assert run(["demo", "--trouble", "main=stuck", "--trouble", "hole=junk", "--well"]) == 1
    assert run(["demo", "--json"]) == 1
    assert run(["demo", "--dwon"]) == 2
    begin = ["-m", "lab", "demo"]
    assert asked == [[*begin, "--trouble=main=stuck", "--trouble=hole=junk", "--well"], [*begin, "--json"]]


@pytest.mark.parametrize("option", ["--json", "--well", "--trouble=main=stuck"])
def test_what_needs_a_demo_says_how_to_make_one(
    option: str, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_DIR", str(tmp_path))
    assert demo.main([option]) == 1
    assert capsys.readouterr().err == "demo: there is no demo's host; make it: studio demo\n"


def test_the_labs_help_says_its_exit_codes() -> None:
    assert "Exit codes: 0 fine" in " ".join(lab_commands.parser().format_help().split())
