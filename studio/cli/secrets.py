"""studio secrets: what the host holds of them, through its hostctl."""

import getpass
import json
import sys

from rich.table import Table

from studio.cli import chosen
from studio.cli.outcome import Exit, Stop
from studio.host import hostctl, hostctl_json

SECONDS = 600.0


def listing(name: str | None, *, as_json: bool) -> None:
    """All secrets, their origin, their users, and whether they have a value."""
    found = hostctl_json(chosen.studio(name), "secrets", "list", "--json")
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = Table("secret", "origin", "used by", "set", box=None, header_style="bold")
    for secret in found:
        is_set = "yes" if secret["set"] else "[red]no[/red]" if secret["present"] else "[red]missing[/red]"
        table.add_row(secret["name"], secret["origin"], ", ".join(secret["consumers"]), is_set)
    chosen.console().print(table)


def show(secret: str, name: str | None) -> None:
    """The value, and nothing else, on standard output."""
    sys.stdout.write(hostctl(chosen.studio(name), "secrets", "show", secret).decode())


def rotate(secret: str, name: str | None) -> None:
    """A new value, made on the host."""
    print(hostctl(chosen.studio(name), "secrets", "rotate", secret, timeout=SECONDS).decode(), end="")


def put(secret: str, name: str | None) -> None:
    """A value from standard input, which reaches the host by standard input as well."""
    studio = chosen.studio(name)
    value = getpass.getpass(f"{secret}: ") if sys.stdin.isatty() else sys.stdin.read().rstrip("\n")
    if not value:
        raise Stop(Exit.BAD_INPUT, f"no value for {secret} came by standard input")
    print(hostctl(studio, "secrets", "set", secret, stdin=value.encode(), timeout=SECONDS).decode(), end="")
