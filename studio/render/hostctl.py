"""hostctl, the program that puts a generation in place: shipped in each one, as one file of the same bytes always."""

import io
import zipfile
from functools import cache
from pathlib import Path
from typing import Final

from studio.bundle import Artifact
from studio.paths import FILES, TEMPLATES
from studio.render.templates import static

PACKAGE: Final = FILES / "hostctl"
OLDEST: Final = (1980, 1, 1, 0, 0, 0)
MAIN: Final = "from hostctl.cli import program\n\nprogram()\n"


def _sources(package: Path) -> list[tuple[str, bytes]]:
    paths = sorted(p for p in package.rglob("*.py") if "__pycache__" not in p.parts)
    return [(f"hostctl/{path.relative_to(package).as_posix()}", path.read_bytes()) for path in paths]


def zipapp(sources: list[tuple[str, bytes]]) -> bytes:
    """A zip archive that python3 runs."""
    return archive([("__main__.py", MAIN.encode()), *sources])


def archive(sources: list[tuple[str, bytes]]) -> bytes:
    """A zip archive of modules; no times, no compression that depends on a library's version."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as zipped:
        for name, content in sources:
            info = zipfile.ZipInfo(name, OLDEST)
            info.external_attr = 0o644 << 16
            info.create_system = 3
            zipped.writestr(info, content)
    return out.getvalue()


@cache
def render() -> dict[str, Artifact]:
    return {
        "bin/hostctl.pyz": Artifact(zipapp(_sources(PACKAGE))),
        "bin/hostctl": Artifact(static(TEMPLATES / "bin" / "hostctl"), 0o755),
    }
