"""The command line `studio`."""

import sys


def main() -> None:
    """Run `studio` with the arguments of this process and end it with the command's exit code."""
    from studio.cli.app import run

    sys.exit(run())


__all__ = ["main"]
