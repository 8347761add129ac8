"""hostctl: what a deploy, monit and people do on the studio's host. Run it as root; it needs Python alone."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from hostctl.errors import BAD_INPUT, FAILED, HostError
from hostctl.paths import Paths

EXIT_CODES = "exit codes: 0 done, 1 failed, 2 bad input or a refused configuration, 75 another hostctl is at work"

RETRY_SECONDS = 5


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hostctl", description=__doc__, epilog=EXIT_CODES)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, epilog=EXIT_CODES)

    status = command("status", "what runs, since when, and what is out of date")
    status.add_argument("--json", action="store_true")
    restart = command("restart", "restart one component and wait until it is healthy; does not wait for a deploy")
    restart.add_argument("component")
    begin = command("start", "start one component that is not active and wait until it is healthy")
    begin.add_argument("component")
    rollback = command("rollback", "take the previous generation (or GEN) into use again")
    rollback.add_argument("generation", nargs="?", metavar="GEN")
    check = command("check", "for monit: does data come through?")
    check.add_argument("what", choices=["canary", "furnace"])
    check.add_argument("id", nargs="?")
    command("accounts", "for systemd: give the broker the accounts of devices that the hub provisioned")
    secrets = command("secrets", "list, show, rotate (made here) or set (yours, from standard input) secrets")
    secrets.add_argument("action", choices=["list", "show", "rotate", "set"])
    secrets.add_argument("name", nargs="?")
    secrets.add_argument("--json", action="store_true")
    record = command("record-inputs", "for systemd: note what a service is started with")
    record.add_argument("service")
    command("probe", "for the deploy: everything it must know, as JSON (the manifest comes from standard input)")
    command("preflight", "for the deploy: every reason why this host cannot take the studio")
    step = command("step", "for the deploy: one step, if it has something to do")
    step.add_argument("name")
    step.add_argument("arguments", nargs="*")
    return parser


def _say(line: str) -> None:
    print(line, flush=True)


def _status(paths: Paths, options: Any) -> None:
    from hostctl import status

    told = status.status(paths)
    print(json.dumps(told, indent=1) if options.json else "\n".join(status.lines(told)))


def _restart(paths: Paths, options: Any) -> None:
    from hostctl import lock, restart

    with lock.restarting(paths, options.component):
        restart.one(paths, options.component, options.command)


def _rollback(paths: Paths, options: Any) -> None:
    from hostctl import rollback

    rollback.rollback(paths, options.generation, _say)


def _check(paths: Paths, options: Any) -> None:
    from hostctl import check

    if options.what == "furnace" and not options.id:
        raise HostError("which furnace? hostctl check furnace ID", BAD_INPUT)
    print(check.canary(paths) if options.what == "canary" else check.furnace(paths, options.id))


def _secrets(paths: Paths, options: Any) -> None:
    from hostctl import rotate

    if options.action != "list" and not options.name:
        raise HostError(f"which secret? hostctl secrets {options.action} NAME", BAD_INPUT)
    if options.action == "list":
        print(rotate.listing(paths, as_json=options.json))
    elif options.action == "show":
        sys.stdout.buffer.write(rotate.show(paths, options.name) + b"\n")
    else:
        value = sys.stdin.read().rstrip("\n") if options.action == "set" else None
        rotate.change(paths, options.name, value, _say)


def _accounts(paths: Paths, options: Any) -> None:
    from hostctl import broker, manifest
    from hostctl.run import need_account

    try:
        print(broker.take_additions(paths, need_account(manifest.current(paths).user)))
    except HostError:
        # systemd begins again at once while the file is there.
        time.sleep(RETRY_SECONDS)
        raise


def _record(paths: Paths, options: Any) -> None:
    from hostctl import inputs

    inputs.record(paths, options.service)


def _asked(paths: Paths) -> tuple[Any, Any]:
    """The manifest and the host's state, from a question {"manifest", "secrets"} on standard input."""
    from hostctl import manifest, probe

    try:
        question = json.loads(sys.stdin.read())
        wanted, given = manifest.parse(question["manifest"]), question.get("secrets", {})
    except (ValueError, KeyError, TypeError) as error:
        raise HostError(f'standard input is no {{"manifest": ..., "secrets": ...}}: {error!r}', BAD_INPUT) from error
    return wanted, probe.probe(wanted, paths, given)


def _probe(paths: Paths, options: Any) -> None:
    print(json.dumps(_asked(paths)[1]))


def _preflight(paths: Paths, options: Any) -> None:
    from hostctl import preflight

    wanted, state = _asked(paths)
    if found := preflight.problems(wanted, state):
        listed = "".join(f"\n  - {problem}" for problem in found)
        raise HostError(f"this host cannot take {wanted.studio} yet, nothing was changed:{listed}")


def _step(paths: Paths, options: Any) -> None:
    from hostctl import steps

    steps.run(paths, options.name, options.arguments, _say)


COMMANDS: dict[str, Callable[[Paths, Any], None]] = {
    "status": _status,
    "restart": _restart,
    "start": _restart,
    "rollback": _rollback,
    "check": _check,
    "secrets": _secrets,
    "accounts": _accounts,
    "record-inputs": _record,
    "probe": _probe,
    "preflight": _preflight,
    "step": _step,
}


def program() -> NoReturn:
    """The whole program; a reader that has seen enough (`| head`) ends it without a word."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    options = _parser().parse_args(argv)
    try:
        if os.geteuid() != 0:
            raise HostError("it is for root alone: sudo hostctl ...", BAD_INPUT)
        COMMANDS[options.command](Paths(), options)
    except HostError as error:
        print(f"hostctl: {error}", file=sys.stderr)
        return error.code
    except OSError as error:
        print(f"hostctl: {error}; once that is mended, deploy again: it goes on from what is there", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130
    return 0
