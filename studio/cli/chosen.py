"""The studio that a command is about."""

import sys

from rich.console import Console

from studio.model import Studio, load_studio
from studio.model.loader import find, only


def studio(name: str | None) -> Studio:
    """The studio that is named, or the only one there is; raises InventoryError with every problem."""
    return load_studio(name or only())


def inventory(name: str | None) -> str:
    """The inventory's absolute path, for programs that run elsewhere."""
    return str(find(name or only()).absolute())


def console() -> Console:
    """Where tables for people go: coloured on a terminal only, never cut off in a pipe."""
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)
