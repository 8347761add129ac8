"""What the hub's image is built from on the host, as one tar of the same bytes always, and the image's name."""

import io
import tarfile
from functools import cache
from pathlib import Path
from typing import Final

from studio.bundle import Artifact, short_hash
from studio.paths import HUB
from studio.render.templates import static

CONTEXT: Final = "images/hub.tar"
RECIPE: Final = ("Containerfile", "requirements.lock")
KINDS: Final = (".py", ".html", ".css", ".js", ".mako", ".svg", ".png")


def _files() -> list[tuple[str, Path]]:
    program = sorted(p for p in HUB.rglob("*") if p.suffix in KINDS and "__pycache__" not in p.parts)
    return [*((name, HUB / name) for name in RECIPE), *((f"hub/{p.relative_to(HUB).as_posix()}", p) for p in program)]


@cache
def context() -> Artifact:
    """The build's context: Containerfile, requirements.lock and the program below hub/."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, path in _files():
            info = tarfile.TarInfo(name)
            content = static(path)
            info.size, info.mode, info.mtime = len(content), 0o644, 0
            info.uname = info.gname = "root"
            tar.addfile(info, io.BytesIO(content))
    return Artifact(out.getvalue())


def reference(base: str) -> str:
    """The name of the image that is built from `context` on the image `base`."""
    return f"localhost/sensor-pipeline/hub:{short_hash([context().sha256, base])}"
