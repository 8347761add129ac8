"""The command line of Vector, as far as it is implemented; anything else is refused with exit code 78."""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from vector_standin import BANNER, config, tap, top
from vector_standin.app import App
from vector_standin.log import log
from vector_standin.options import CONFIG, OK, Parser
from vector_standin.schema import Refused
from vector_standin.telemetry import Telemetry
from vector_standin.topology import Topology
from vector_standin.unit_tests import run as run_tests

DEFAULT_FILE = Path("/etc/vector/vector.yaml")


def _parser(prog: str) -> Parser:
    return Parser(prog=prog, allow_abbrev=False)


def _files(arguments: argparse.Namespace) -> list[Path]:
    return [Path(file) for file in arguments.config or arguments.files] or [DEFAULT_FILE]


def _with_files(parser: Parser) -> Parser:
    parser.add_argument("--config-yaml", "-c", "--config", dest="config", action="append", metavar="FILE")
    return parser


def _validate(argv: list[str]) -> int:
    parser = _with_files(_parser("vector validate"))
    parser.add_argument("--no-environment", action="store_true", help="no component is built, nothing connected to")
    parser.add_argument("--deny-warnings", "-d", action="store_true")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args(argv)
    files = _files(arguments)
    loaded, warnings = config.load(files, secrets=False)
    for warning in warnings:
        print(f"~ {warning}")
    if warnings and arguments.deny_warnings:
        return CONFIG
    print(f"√ Loaded {[str(file) for file in files]}")
    Topology(loaded, Telemetry())
    print("√ Transforms configuration")
    if not arguments.no_environment:
        sick = {name: sink.health() for name, sink in App(loaded).sinks.items()}
        for name, why in sick.items():
            print(f'x Health check for "{name}" failed: {why}' if why else f'√ Health check "{name}"')
        if any(sick.values()):
            return CONFIG
    print("Validated")
    return OK


def _test(argv: list[str]) -> int:
    parser = _with_files(_parser("vector test"))
    parser.add_argument("files", nargs="*")
    loaded, _ = config.load(_files(parser.parse_args(argv)), secrets=True)
    offered = {output for name, transform in loaded["transforms"].items() for output in config.outputs(name, transform)}
    print("Running tests")
    results = run_tests(loaded, offered)
    for name, errors in results.items():
        print(f"test {name} ... {'failed' if errors else 'passed'}")
    failed = {name: errors for name, errors in results.items() if errors}
    if failed:
        print("\nfailures:\n")
        for name, errors in failed.items():
            print(f"test {name}:\n\n" + "\n".join(errors) + "\n")
    return CONFIG if failed else OK


def _run(argv: list[str]) -> int:
    parser = _with_files(_parser("vector"))
    parser.add_argument("--version", "-V", action="version", version=BANNER)
    limit = float(os.environ.get("VECTOR_GRACEFUL_SHUTDOWN_LIMIT_SECS", "60"))
    parser.add_argument("--graceful-shutdown-limit-secs", type=float, default=limit, metavar="SECONDS")
    arguments = parser.parse_args(argv, argparse.Namespace(files=[]))
    loaded, warnings = config.load(_files(arguments), secrets=True)
    for warning in warnings:
        log("WARN", warning)
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    app = App(loaded)
    for name, sink in app.sinks.items():
        why = sink.health()
        log("ERROR" if why else "INFO", "Healthcheck failed." if why else "Healthcheck passed.", sink=name, error=why)
    app.start()
    asked.wait()
    log("INFO", "Vector has stopped." if app.stop(arguments.graceful_shutdown_limit_secs) else "Shutdown was forced.")
    return OK


def main(argv: list[str]) -> int:
    """The exit code: 0, or 78 for whatever is wrong with the configuration or the command line."""
    commands = {"validate": _validate, "test": _test, "tap": tap.main, "top": top.main}
    try:
        if argv and argv[0] in commands:
            return commands[argv[0]](argv[1:])
        return _run(argv)
    except Refused as refused:
        for error in refused.errors:
            print(f"vector (stand-in): {error}", file=sys.stderr)
        return CONFIG
    except OSError as error:
        print(f"vector (stand-in): {error}", file=sys.stderr)
        return CONFIG
