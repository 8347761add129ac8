"""Take an earlier generation into use again, as carefully as a deploy does."""

from collections.abc import Callable

from hostctl import broker, lock, manifest, restart, switch
from hostctl.errors import BAD_INPUT, HostError
from hostctl.paths import Paths
from hostctl.run import need_account


def choose(paths: Paths, name: str | None) -> str:
    """The generation meant: by its name or the beginning of it, or the one that was in use before."""
    here = manifest.names(paths)
    if name is None:
        target = switch.previous(paths)
        if target is None:
            raise HostError("there is no earlier generation on this host to go back to")
        return target
    found = [g for g in here if g.startswith(name)]
    if len(found) != 1:
        raise HostError(f"{name!r} names no single generation; there are: {', '.join(here) or 'none'}", BAD_INPUT)
    return found[0]


def rollback(paths: Paths, name: str | None, say: Callable[[str], None]) -> None:
    """Go back; when the old generation does not come up, the one that was in use is switched in again."""
    with lock.locked(paths, "rollback"):
        target = choose(paths, name)
        if target == manifest.current_name(paths):
            say(f"generation {target} is in use already")
        else:
            say(f"taking generation {target} into use")
            switch.switch(paths, target)
        wanted = manifest.current(paths)
        broker.ensure(paths, wanted, need_account(wanted.user))
        restart.apply(paths, say)
        say(f"generation {target} is in use and healthy")
