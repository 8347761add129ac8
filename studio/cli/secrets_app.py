"""`studio secrets ...`: the commands with their options and help."""

from typing import Annotated

import typer

from studio.cli.options import Json, Name, examples

secrets_app = typer.Typer(
    no_args_is_help=True,
    help="Look at, make anew, or set the secrets on the studio's host.\n\n"
    "Those made there (broker passwords, TLS) are rotated; yours (webhook URLs, tokens) are set. "
    "A change restarts exactly the services that use the secret.",
    epilog=examples(
        "studio secrets list rosewood",
        "studio secrets rotate broker-vector rosewood",
        "studio secrets set irm-shop-url rosewood < url.txt",
    ),
)


@secrets_app.command("list", epilog=examples("studio secrets list rosewood"))
def secrets_list(name: Name = None, json: Json = False) -> None:
    """All secrets with their origin and users, never a value."""
    from studio.cli import secrets

    secrets.listing(name, as_json=json)


Secret = Annotated[str, typer.Argument(metavar="SECRET", help="see: studio secrets list")]


@secrets_app.command("show", epilog=examples("studio secrets show device-main rosewood"))
def secrets_show(secret: Secret, name: Name = None) -> None:
    """Print one secret's value, to put it into a device."""
    from studio.cli import secrets

    secrets.show(secret, name)


@secrets_app.command("rotate", epilog=examples("studio secrets rotate broker-vector rosewood"))
def secrets_rotate(secret: Secret, name: Name = None) -> None:
    """Make a new value for a secret that was made on the host."""
    from studio.cli import secrets

    secrets.rotate(secret, name)


@secrets_app.command("set", epilog=examples("studio secrets set irm-shop-url rosewood < url.txt"))
def secrets_set(secret: Secret, name: Name = None) -> None:
    """Set one of your secrets; its value comes from standard input, or is asked for without being shown."""
    from studio.cli import secrets

    secrets.put(secret, name)
