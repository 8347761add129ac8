"""Where things are in this repository and on a studio's host; the only place that says so."""

from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
INVENTORIES: Final = ROOT / "inventories"
TEMPLATES: Final = ROOT / "templates"
FILES: Final = ROOT / "files"
HUB: Final = ROOT / "hub"
PYINFRA: Final = ROOT / "pyinfra"

HOST_ROOT: Final = PurePosixPath("/var/lib/sensor-pipeline")
HOST_CURRENT: Final = HOST_ROOT / "current"
HOST_STATE: Final = HOST_ROOT / "state"
HOST_EXTENSIONS: Final = HOST_ROOT / "extensions"
