"""The generation that is in use on a studio's host, file by file, in one round trip."""

import io
import tarfile

from studio.bundle import MANIFEST, Artifact
from studio.host.errors import Failed
from studio.host.hostctl import ABSENT
from studio.host.reach import run
from studio.model import Studio
from studio.paths import HOST_CURRENT


def files(studio: Studio) -> dict[str, Artifact]:
    """Every file of the current generation with its mode (the manifest too); empty when nothing is deployed."""
    folder = str(HOST_CURRENT)
    script = f'test -d "$0" || exit {ABSENT}; exec tar --create --directory "$0/." --file - .'
    answer = run(studio, ["sh", "-c", script, folder])
    if answer.code == ABSENT:
        return {}
    if answer.code:
        raise Failed(f"{studio.name}: {folder} cannot be read: {answer.err}")
    found: dict[str, Artifact] = {}
    with tarfile.open(fileobj=io.BytesIO(answer.out)) as tar:
        for member in tar:
            if (content := tar.extractfile(member) if member.isfile() else None) is not None:
                found[member.name.removeprefix("./")] = Artifact(content.read(), member.mode & 0o7777)
    return found


def studio_of(found: dict[str, Artifact]) -> str | None:
    """The name of the studio that a generation belongs to."""
    import json

    return str(json.loads(found[MANIFEST].content)["studio"]) if MANIFEST in found else None
