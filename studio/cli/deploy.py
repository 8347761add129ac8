"""studio deploy: the pyinfra command line in pyinfra/, for one studio."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from studio.cli import chosen, dashboards, diff
from studio.cli.outcome import Exit, Stop
from studio.host import reach
from studio.model import Studio
from studio.paths import PYINFRA


def pyinfra_argv(studio: Studio, inventory: str, options: Sequence[str]) -> list[str]:
    """The pyinfra command for a studio's host; what needs root on it takes it by sudo."""
    host = studio.host
    where = ["@local"] if host.is_local else [host.address, "--ssh-port", str(host.port)]
    if host.login and not host.is_local:
        where += ["--ssh-user", host.login]
    program = Path(sys.executable).with_name("pyinfra")
    return [str(program), *where, "deploy.py", "--data", f"studio={inventory}", *options]


def deploy(name: str | None, *, dry: bool) -> None:
    """Deploy, and end with pyinfra's exit code; with `dry` show the drift and the steps and change nothing."""
    studio = chosen.studio(name)
    if not studio.host.is_local:
        reach.check(studio)
    if dry:
        diff.show(diff.report(studio))
        sys.stdout.flush()
    argv = pyinfra_argv(studio, chosen.inventory(name), ["--dry"] if dry else ["-y"])
    try:
        code = subprocess.run(argv, cwd=PYINFRA, check=False).returncode
    except FileNotFoundError:
        raise Stop(Exit.FAILED, f"{argv[0]} is missing: run `make setup`") from None
    if code == 0 and not dry:
        print(f"{studio.name} is deployed; look at it: studio status {studio.name}")
        dashboards.after_deploy(studio, name)
    raise Stop(code if code in {Exit.FINE, Exit.BAD_INPUT} else Exit.FAILED)
