"""The commands that the runbook tells to type: each one exists, parses, and names what there is."""

import re
import shlex
from pathlib import Path

import pytest

from hostctl.cli import _parser
from studio.cli.app import run
from studio.model import load_studio
from studio.paths import ROOT
from studio.render import components

PAGES = [ROOT / "docs/runbook.md", *sorted((ROOT / "docs/runbook").glob("*.md"))]
STUDIOS = [load_studio("lab"), load_studio(ROOT / "tests/golden/everything.yaml")]
COMPONENTS = [component for studio in STUDIOS for component in components(studio)]
ANY = {"NAME", "JOB", "X"}
"""What stands for a name in a command."""
PLAIN = {
    *("cat", "curl", "df", "dmesg", "du", "findmnt", "free", "grep", "head", "ls", "paste", "printf", "sort", "ss"),
    *("ssh", "studio-agent", "systemd-cgtop", "tail", "tar", "timedatectl", "uniq", "uptime"),
}
"""Programs of every Debian host, and a camera's agent; how they are used, the pages' readers have tried."""
OTHERS = {
    *(("journalctl", option) for option in ("-b", "--list-boots", "--vacuum-size=200M")),
    ("systemd-run", "--user"),
    ("monit", "-c"),
}
"""Of other programs: what they are told first."""
OTHERS_UNITS = {"systemd-timesyncd", "studio-agent"}


def commands(text: str) -> list[list[str]]:
    """The words of each command, those of a pipe one by one, without `sudo` and comments."""
    told = re.findall(r"`([^`\n]+)`", text)
    told += [block.replace("\\\n", "") for block in re.findall(r"^    ((?:.*\\\n)*.*)$", text, re.MULTILINE)]
    parts = [words for line in told if is_one(line) for words in in_a_pipe(line)]
    return [words[1:] if words[0] == "sudo" else words for words in parts]


def is_one(line: str) -> bool:
    """Whether it is a command, not a name or a value that a page speaks of."""
    return line.split(maxsplit=1)[0] in {"sudo", "studio", "systemctl", "journalctl", "hostctl", *PLAIN}


def in_a_pipe(line: str) -> list[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= {"|", ";"}:
            found.append([])
        else:
            found[-1].append(word)
    return found


def containers() -> set[str]:
    return {c.name for c in COMPONENTS if c.container}


def host_units() -> set[str]:
    return {c.unit.removesuffix(".service") for c in COMPONENTS if not c.container} | OTHERS_UNITS


def fine(words: list[str]) -> bool:  # noqa: PLR0911 - one for each program
    """Whether a command can be typed on a studio's host, or at the desk."""
    known = containers() | ANY
    match words:
        case ["hostctl", *arguments]:
            return taken_by_hostctl(arguments)
        case ["studio", name, *arguments]:
            # Which studio, and a help text only when everything before it was understood.
            return arguments[:1] == ["X"] and run([name, *arguments, "--help"]) == 0
        case ["systemctl", "--user", "-M", "studio@", "status" | "restart" | "stop", *names]:
            return bool(names) and known.issuperset(names)
        case ["journalctl", "-t", name, *_] | [
            "systemd-run",
            "--user",
            "-M",
            "studio@",
            "-qP",
            "podman",
            "exec",
            name,
            *_,
        ]:
            return name in known
        case ["systemctl", "status" | "restart" | "stop", unit] | ["journalctl", "-u", unit, *_]:
            return unit in host_units()
        case ["curl", *arguments]:
            asked = {port for word in arguments for port in re.findall(r"127\.0\.0\.1:(\d+)", word)}
            return bool(asked) and asked <= {str(port) for port in STUDIOS[0].ports.model_dump().values()}
    return words[0] in PLAIN or tuple(words[:2]) in OTHERS


def taken_by_hostctl(arguments: list[str]) -> bool:
    try:
        options = _parser().parse_args(arguments)
    except SystemExit:
        return False
    return getattr(options, "component", "NAME") in containers() | ANY


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_tells_to_type_can_be_typed(page: Path) -> None:
    found = commands(page.read_text())
    assert found or page.stem in {"FlameDrift", "FlameAnomaly"}
    assert [" ".join(words) for words in found if not fine(words)] == []


def test_there_are_many() -> None:
    assert sum(len(commands(page.read_text())) for page in PAGES) > 120


@pytest.mark.parametrize(
    "line",
    [
        "sudo hostctl restrat hub",
        "sudo hostctl restart hubb",
        "studio tpa X",
        "studio top",
        "sudo systemctl --user -M studio@ status node_exporter",
        "systemctl status node_exporter",
        "sudo journalctl -t hubb",
        "curl -s 127.0.0.1:8888/api/v1/rules",
        "sudo podman ps",
    ],
)
def test_what_is_wrong_is_found(line: str) -> None:
    (words,) = commands(f"`{line}`")
    assert not fine(words)
