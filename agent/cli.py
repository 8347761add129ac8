"""The command line: studio-agent run | provision | status | check."""

import json
import os
import sys
from pathlib import Path

from agent import arguments, config, folder, settings, status
from agent.credentials import foreseen
from agent.errors import AgentError, InputError, PermissionsError
from agent.logs import Log, one_line, open_log
from agent.request import ProvisionRequest, open_to_others, read_request

EXPOSED = "others can read the provisioning secret"
RESOLVER = "timeout:1 attempts:2"
"""For the C library: name servers that are silent are given up within 8 s, when there are two and one search domain.

By its own measure it is 40 s.
"""


def main(given: list[str] | None = None) -> None:
    """The entry point; ends the process with a documented exit code and never with a traceback for people's faults."""
    options = arguments.parse(sys.argv[1:] if given is None else given)
    directory = options.directory
    log = open_log(options.log, options.log_level) if options.command in arguments.WORKING else None
    os.environ.setdefault("RES_OPTIONS", RESOLVER)
    try:
        if log is None:
            (_status if options.command == "status" else _check)(directory, as_json=options.as_json)
            return
        if (path := open_to_others(directory)) is not None:
            log.warning(EXPOSED, path=str(path), advice=f"chmod 600 {path}")
        if options.command == "provision":
            _provision(directory, log)
        else:
            from agent.run import run

            run(directory, log)
    except AgentError as error:
        if log is None:
            # Anybody may ask; the folder is the agent's account's alone.
            sudo = "Ask as root (sudo), or: " if isinstance(error, PermissionsError) else ""
            print(f"studio-agent: {one_line(error.message)}. {sudo}{error.advice}.", file=sys.stderr)
        elif not error.logged:
            log.error("ended", **error.told)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)


def _provision(directory: Path, log: Log) -> None:
    from agent import provision

    with folder.held(directory):
        if status.is_asked(directory):
            provision.provision(directory, log)
        else:
            provision.settle(directory, log)
            log.info("nothing to do", reason=f"there is no {status.MARKER} in {directory}")


def _status(directory: Path, *, as_json: bool) -> None:
    told = status.describe(directory, running=folder.is_held(directory))
    if as_json:
        print(json.dumps(told, indent=2))
        return
    print(f"provisioning: {told['phase']}" + (" (interrupted; the next start goes on)" if told["interrupted"] else ""))
    for key in ("device", "step", "retries", "last_failure", "started", "updated"):
        if key in told:
            print(f"{key.replace('_', ' ') + ':':13} {one_line(told[key])}")
    if error := told.get("error"):
        print(f"failed:       {one_line(error.get('message'))}\nwhat to do:   {one_line(error.get('advice'))}")
    for entry in told["history"]:
        outcome = entry.get("error", {}).get("message") or entry.get("device", "")
        words = (entry.get("started"), entry.get("attempt"), entry.get("phase"), outcome)
        print(f"  {one_line('  '.join(map(str, words)))}")


def _check_config(directory: Path, request: ProvisionRequest | None) -> None:
    """Raise InputError when it is not good; what `request` is going to put there is not missing."""
    stored = config.load(directory)
    if stored is None or request is None:
        settings.load(directory)
        return
    values = config.merged(stored.values, request.name, request.platform, foreseen(request))
    config.check_readable(directory, values)
    settings.parse(values, directory)


def _check(directory: Path, *, as_json: bool) -> None:
    problems: list[str] = []
    checked = []
    request = None
    if status.is_asked(directory):
        checked.append("provision.json")
        try:
            request = read_request(directory)
        except InputError as error:
            problems += error.problems
    if not checked or (directory / config.FILE).exists():
        checked.append(config.FILE)
        try:
            _check_config(directory, request)
        except InputError as error:
            problems += error.problems
    path = open_to_others(directory)
    warnings = [f"{EXPOSED}: chmod 600 {path}"] if path else []
    if as_json:
        print(json.dumps({"checked": checked, "problems": problems, "warnings": warnings}, indent=2))
    else:
        for warning in warnings:
            print(f"warning: {warning}", file=sys.stderr)
        print("\n".join(map(one_line, problems)) if problems else f"{' and '.join(checked)}: good")
    if problems:
        sys.exit(InputError.exit_code)
