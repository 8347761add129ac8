"""What is to be deployed, and the one question to the host that says what has to be done for it."""

import json
import os
import sys
from dataclasses import dataclass
from typing import Any, NoReturn

from pyinfra import host, logger
from pyinfra.api import FactBase
from steps import remote
from steps.rendered import BadInventory, Rendered, rendered

from hostctl.manifest import Manifest, parse
from hostctl.plan import Plan, plan
from studio import secrets
from studio.paths import INVENTORIES

BAD_INPUT = 2


class HostState(FactBase[dict[str, Any]]):
    """The state of the host, as `hostctl probe` tells it; the manifest it is compared with comes by _stdin."""

    def command(self) -> str:
        return remote.sent_along("probe")

    def process(self, output: list[str]) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(output[-1])
        return answer


@dataclass(frozen=True)
class Deploy:
    """A generation, what has to be done to have it in use, and the user's secrets at hand (never shown)."""

    rendered: Rendered
    manifest: Manifest
    plan: Plan
    given: dict[str, str]

    def __repr__(self) -> str:
        return f"generation {self.manifest.generation} of {self.manifest.studio}"

    @property
    def question(self) -> bytes:
        return json.dumps({"manifest": self.manifest.facts, "secrets": self.given}).encode()


def _refuse(message: str) -> NoReturn:
    """Bad input is no error of pyinfra's: the message, exit code 2, and the host was not touched."""
    print(message, file=sys.stderr)
    raise SystemExit(BAD_INPUT)


def _name() -> str:
    named = host.data.get("studio") or os.environ.get("STUDIO")
    if named:
        return str(named)
    found = sorted(p.stem for p in INVENTORIES.glob("*.yaml"))
    if len(found) == 1:
        return found[0]
    _refuse(
        f"which studio? Name one with --data studio=NAME or with STUDIO=NAME in the environment; there are: "
        f"{', '.join(found) or f'none, write {INVENTORIES}/NAME.yaml'}"
    )


def ask() -> Deploy:
    """Render the studio, ask the host, and plan."""
    try:
        made = rendered(_name())
        manifest = parse(made.facts)
        users = [s["name"] for s in manifest.secrets if s["origin"] == "user"]
        given = secrets.given(manifest.studio, users)
    except (BadInventory, secrets.SecretsError) as error:
        _refuse(str(error))
    asked = Deploy(made, manifest, Plan({}, [], []), given)
    state = host.get_fact(HostState, _stdin=remote.parcel(made.program, asked.question))
    found = plan(manifest, state)
    for warning in found.warnings:
        logger.warning(f"{host.print_prefix}{warning}")
    return Deploy(made, manifest, found, given)
