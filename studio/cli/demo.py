"""studio demo: the lab's demonstration; the product itself knows nothing of the lab, so it is a process of its own."""

import subprocess
import sys

from studio.cli.outcome import Stop
from studio.paths import ROOT


def demo(arguments: list[str]) -> None:
    """Run the demonstration with these arguments and end with its exit code."""
    done = subprocess.run([sys.executable, "-m", "lab", "demo", *arguments], cwd=ROOT, check=False)
    raise Stop(done.returncode)
