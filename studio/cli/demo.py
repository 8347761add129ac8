"""studio demo: the lab's demonstration; the product itself knows nothing of the lab, so it is a process of its own."""

import subprocess
import sys

from studio.cli.outcome import Stop
from studio.paths import ROOT


def demo(trouble: list[str], *, well: bool, as_json: bool, down: bool) -> None:
    """Run the demonstration and end with its exit code."""
    switches = {"--well": well, "--json": as_json, "--down": down}
    arguments = [f"--trouble={wish}" for wish in trouble] + [name for name, given in switches.items() if given]
    done = subprocess.run([sys.executable, "-m", "lab", "demo", *arguments], cwd=ROOT, check=False)
    raise Stop(done.returncode)
