"""`studio devices ...`: the commands with their options and help."""

from typing import Annotated

import typer

from studio.cli.options import Json, Name, examples

devices_app = typer.Typer(
    no_args_is_help=True,
    help="Put the agent on the studio's cameras over SSH, look at it, remove it.\n\n"
    "A camera is one with `host:` in the inventory (and `user:`, `port:`); it needs python3, and root or sudo. Every "
    "camera is tried, whatever happens to the others.",
    epilog=examples(
        "studio devices deploy rosewood                 install, update, provision what needs it",
        "studio devices deploy rosewood annealer-eye    this camera alone",
        "studio devices status rosewood",
        "studio devices verify rosewood",
        "studio devices remove rosewood annealer-eye",
    ),
)
Cameras = Annotated[list[str] | None, typer.Argument(metavar="CAMERA...", help="ids of cameras; all when left out")]


@devices_app.command(epilog=examples("studio devices deploy rosewood", "studio devices deploy rosewood annealer-eye"))
def deploy(
    name: Name = None,
    cameras: Cameras = None,
    again: Annotated[
        bool, typer.Option("--again", help="provision anew: the account was revoked, or the device's files are lost")
    ] = False,
) -> None:
    """Install or update the agent, and provision what is not provisioned; unchanged, a camera is asked one question."""
    from studio.cli import devices

    devices.deploy(name, cameras or [], again=again)


@devices_app.command(epilog=examples("studio devices status rosewood", "studio devices status rosewood --json"))
def status(name: Name = None, cameras: Cameras = None, json: Json = False) -> None:
    """Show the agents: running, version, device, age of the newest stored temperature."""
    from studio.cli import devices

    devices.show_status(name, cameras or [], as_json=json)


@devices_app.command(epilog=examples("studio devices verify rosewood"))
def verify(name: Name = None, cameras: Cameras = None, json: Json = False) -> None:
    """Check that the cameras are as they should be: version, unit, hardening, files, and that their data arrives."""
    from studio.cli import devices

    devices.verify(name, cameras or [], as_json=json)


@devices_app.command(epilog=examples("studio devices remove rosewood annealer-eye --keep-data"))
def remove(
    name: Name = None,
    cameras: Cameras = None,
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="leave /var/lib/studio-agent, its account and the unit's drop-ins")
    ] = False,
) -> None:
    """Remove the agent from the cameras, and their accounts from the hub; nothing of it stays."""
    from studio.cli import devices

    devices.remove(name, cameras or [], keep_data=keep_data)
