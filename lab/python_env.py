"""The project's Python packages for the guest's Python: its environment, and the few that an image needs."""

import re
from collections.abc import Sequence
from pathlib import Path

from lab import debian
from lab.cache import cached
from lab.chroot import in_chroot
from lab.paths import REPO
from lab.run import LabError

LOCK = REPO / "requirements.lock"
HUB_LOCK = REPO / "hub/requirements.lock"
VERSION = "1"
# the guest's repository is mounted read-only, so the project itself is on the path instead of installed
VENV = """
python3 -m venv /opt/venv
/opt/venv/bin/pip install --quiet --no-compile --require-hashes -r /out/requirements.lock
site=$(echo /opt/venv/lib/python3*/site-packages)
printf '/opt/sensor-pipeline\\n/opt/sensor-pipeline/files\\n' > "$site/sensor-pipeline.pth"
printf '#!/opt/venv/bin/python\\nfrom studio.cli import main\\nmain()\\n' > /opt/venv/bin/studio
chmod 755 /opt/venv/bin/studio
/opt/venv/bin/python -m compileall -q -j 0 /opt/venv/lib || true
rm /out/requirements.lock
mv /opt/venv/* /out/
"""
PACKAGES = """
python3 -m venv /opt/venv
/opt/venv/bin/pip install --quiet --no-deps --require-hashes --target /out/packages -r /out/requirements.lock
rm /out/requirements.lock
"""
WHEELS = """
python3 -m venv /opt/venv
/opt/venv/bin/pip download -q --no-deps --only-binary :all: --require-hashes -d /out/wheels -r /out/requirements.lock
rm /out/requirements.lock
"""


def build_venv(base: Path) -> Path:
    """The environment that the guest has at `/opt/venv`: all of requirements.lock, and the `studio` command."""
    return _cached(base, "venv", "the project's Python environment for the guest", LOCK.read_text(), VENV)


def build_packages(base: Path, names: Sequence[str], what: str) -> Path:
    """A folder with `packages/` that holds these packages as requirements.lock pins them, and nothing more."""
    return _cached(base, "packages", f"Python packages for {what}", pins(LOCK.read_text(), names), PACKAGES)


def build_wheels(base: Path) -> Path:
    """A folder with `wheels/`: what the hub's image is built from where no package index can be reached."""
    return _cached(base, "wheels", "the hub's Python packages", HUB_LOCK.read_text(), WHEELS)


def _cached(base: Path, kind: str, what: str, lock: str, commands: str) -> Path:
    def make(target: Path) -> None:
        target.mkdir()
        (target / "requirements.lock").write_text(lock)
        in_chroot(base, target, commands)

    return cached(kind, what, [VERSION, debian.SUITE, debian.architecture(), lock, commands], make)


def pins(lock: str, names: Sequence[str]) -> str:
    """The entries of a pip lock file for these packages, with their hashes and conditions.

    Raises:
        LabError: one is not in it.
    """
    entries = [entry for entry in re.split(r"(?<!\\)\n", lock) if _package(entry) in names]
    if missing := sorted(set(names) - {_package(entry) for entry in entries}):
        raise LabError(f"requirements.lock does not pin {', '.join(missing)}; run: make lock")
    return "".join(f"{entry}\n" for entry in entries)


def _package(entry: str) -> str:
    return re.split(r"[=\[ ;]", entry, maxsplit=1)[0].lower()
