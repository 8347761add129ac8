"""studio rollback: an earlier generation again."""

from studio.cli import chosen
from studio.host import hostctl

SECONDS = 600.0


def rollback(name: str | None, to: str | None) -> None:
    """Have the host take the previous, or the named, generation into use; returns when it is healthy."""
    studio = chosen.studio(name)
    print(hostctl(studio, "rollback", *([to] if to else []), timeout=SECONDS).decode(), end="")
