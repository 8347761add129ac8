"""The agent's command line: what is understood, and what is told when it is not."""

from pathlib import Path

import pytest

from agent import VERSION, arguments


def test_options_go_before_and_after_the_command() -> None:
    found = arguments.parse(["--dir", "/a", "run", "--log=json", "--log-level", "debug"])
    assert found == arguments.Options("run", Path("/a"), as_json=False, log="json", log_level="debug")
    assert arguments.parse(["status", "--json"]) == arguments.Options("status", Path.cwd(), as_json=True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "give one command of run, provision, status, check"),
        (["start"], "give one command of run, provision, status, check, not start"),
        (["run", "status"], "give one command of run, provision, status, check, not run status"),
        (["run", "--json"], "--json is for status and check"),
        (["check", "--log", "json"], "--log is for run and provision"),
        (["run", "--log", "xml"], "--log is one of auto, json, text, not xml"),
        (["run", "--nothing"], "option --nothing not recognized"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments.parse(words)
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", f"studio-agent: {told}; see studio-agent --help\n")


@pytest.mark.parametrize("words", [["--help"], ["run", "-h"], ["--version"]])
def test_help_and_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments.parse(words)
    assert not ended.value.code
    told = capsys.readouterr()
    assert told.out == (f"studio-agent {VERSION}\n" if words == ["--version"] else arguments.HELP)
    assert told.err == ""
