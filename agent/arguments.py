"""The arguments of the command line, by getopt: argparse would take three quarters of a megabyte until the end."""

import getopt
import sys
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from agent import VERSION

HELP: Final = """\
usage: studio-agent COMMAND [--dir DIR] [OPTION]...

The agent on a camera or another device of a studio.

When provision.txt is in the folder, provision.json says where and how to provision: the agent registers the device,
tries the new credentials, backs thermal_config.json up, replaces it, and renames provision.txt to
provision.txt.processed. Then it delivers telemetry and runs commands with the credentials in thermal_config.json.

commands:
  run                provision when provision.txt asks for it, then work until stopped
  provision          provision when provision.txt asks for it, then exit
  status             how far provisioning is, and its history
  check              check provision.json and thermal_config.json, all faults at once; changes nothing

options:
  --dir DIR          the agent's folder (here)
  --log FORM         run, provision: form of the log lines: auto, json or text (auto: text on a terminal)
  --log-level LEVEL  run, provision: debug, info, warning or error (info)
  --json             status, check: one JSON object, for programs
  --version          the agent's version
  -h, --help         this

exit codes: 0 done; 1 unexpected; 2 wrong arguments; 3 a file that people write is missing or wrong; 4 the server
refused; 5 the server cannot be reached; 6 the disk is full or broken; 7 permissions; 8 another agent holds the folder;
9 the server's certificate is not trusted
"""
ASKING: Final = ("status", "check")
WORKING: Final = ("run", "provision")
CHOICES: Final = {"--log": ("auto", "json", "text"), "--log-level": ("debug", "info", "warning", "error")}


class Options(NamedTuple):
    """What was asked for on the command line."""

    command: str
    directory: Path
    as_json: bool = False
    log: str = "auto"
    log_level: str = "info"


def parse(arguments: list[str]) -> Options:
    """The options; ends the process when they are wrong (2), or when help or the version is asked for (0)."""
    try:
        found, words = getopt.gnu_getopt(arguments, "h", ["help", "version", "dir=", "json", "log=", "log-level="])
    except getopt.GetoptError as error:
        _wrong(error.msg)
    given = dict(found)
    if given.keys() & {"-h", "--help"}:
        print(HELP, end="")
        sys.exit()
    if "--version" in given:
        print(f"studio-agent {VERSION}")
        sys.exit()
    if len(words) != 1 or words[0] not in ASKING + WORKING:
        _wrong(f"give one command of {', '.join(WORKING + ASKING)}" + (f", not {' '.join(words)}" if words else ""))
    _check(given, words[0])
    return Options(
        words[0],
        Path(given.get("--dir", ".")).absolute(),
        "--json" in given,
        given.get("--log", "auto"),
        given.get("--log-level", "info"),
    )


def _check(given: dict[str, str], command: str) -> None:
    for option, value in given.items():
        takes = ASKING if option == "--json" else WORKING if option in CHOICES else (command,)
        if command not in takes:
            _wrong(f"{option} is for {' and '.join(takes)}")
        if option in CHOICES and value not in CHOICES[option]:
            _wrong(f"{option} is one of {', '.join(CHOICES[option])}, not {value}")


def _wrong(told: str) -> NoReturn:
    print(f"studio-agent: {told}; see studio-agent --help", file=sys.stderr)
    sys.exit(2)
