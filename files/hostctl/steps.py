"""The deploy's steps on the host. Each holds the lock, looks again at what there is, and does what is missing."""

import base64
import sys
from collections.abc import Callable

from hostctl import lock, manifest
from hostctl.errors import BAD_INPUT, HostError
from hostctl.manifest import Manifest
from hostctl.paths import Paths
from hostctl.run import need_account

Say = Callable[[str], None]


def run(paths: Paths, name: str, arguments: list[str], say: Say) -> None:
    """Do one step; every step but `upload` names the generation that is being deployed first."""
    if name == "upload":
        from hostctl import generation

        archive = base64.b64decode(sys.stdin.read())
        with lock.locked(paths, "deploy: upload"):
            say(f"generation {generation.install(paths, archive)}")
        return
    step = STEPS.get(name)
    if step is None or not arguments:
        raise HostError(f"no such step: {name} {' '.join(arguments)}", BAD_INPUT)
    with lock.locked(paths, f"deploy: {name}"):
        wanted = manifest.load(paths.generation(arguments[0]))
        step(paths, wanted, arguments[1:], say)


def _packages(paths: Paths, wanted: Manifest, arguments: list[str], say: Say) -> None:
    from hostctl import packages

    for name in packages.install(paths, wanted):
        say(f"installed {name}")


def _account(paths: Paths, wanted: Manifest, arguments: list[str], say: Say) -> None:
    from hostctl import account

    who = account.ensure(wanted.user)
    say(f"{who.name} has uid {who.uid}")


def _image(paths: Paths, wanted: Manifest, arguments: list[str], say: Say) -> None:
    from hostctl import images

    for name in arguments:
        if images.get(paths, wanted, name, need_account(wanted.user)):
            say(f"got {wanted.component(name).image}")


def _extension(paths: Paths, wanted: Manifest, arguments: list[str], say: Say) -> None:
    from hostctl import extension

    if extension.install(paths, wanted):
        say("put in place")


def _secrets(paths: Paths, wanted: Manifest, arguments: list[str], say: Say) -> None:
    from hostctl import vault

    given = vault.parse_given(sys.stdin.read())
    for line in vault.ensure(paths, wanted, given, need_account(wanted.user)):
        say(line)


def _tls(paths: Paths, wanted: Manifest, arguments: list[str], say: Say) -> None:
    from hostctl import tls

    if reason := tls.ensure(paths, wanted, need_account(wanted.user)):
        say(f"made: {reason}")


def _validate(paths: Paths, wanted: Manifest, arguments: list[str], say: Say) -> None:
    from hostctl import validate

    validate.judge(paths, wanted.generation)


def _switch(paths: Paths, wanted: Manifest, arguments: list[str], say: Say) -> None:
    from hostctl import switch

    switch.switch(paths, wanted.generation)


def _broker(paths: Paths, wanted: Manifest, arguments: list[str], say: Say) -> None:
    from hostctl import broker

    current = manifest.current(paths)
    broker.ensure(paths, current, need_account(current.user))


def _restart(paths: Paths, wanted: Manifest, arguments: list[str], say: Say) -> None:
    from hostctl import restart

    restart.apply(paths, say)


def _prune(paths: Paths, wanted: Manifest, arguments: list[str], say: Say) -> None:
    from hostctl import generation, images

    for name in [*generation.prune(paths), *images.prune(paths, wanted, need_account(wanted.user))]:
        say(f"removed {name}")


STEPS: dict[str, Callable[[Paths, Manifest, list[str], Say], None]] = {
    "packages": _packages,
    "account": _account,
    "images": _image,
    "extension": _extension,
    "secrets": _secrets,
    "tls": _tls,
    "validate": _validate,
    "switch": _switch,
    "broker": _broker,
    "restart": _restart,
    "prune": _prune,
}
