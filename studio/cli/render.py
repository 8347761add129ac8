"""studio render: the files of a generation, to look at."""

import json
from pathlib import Path

from studio.cli import chosen
from studio.cli.outcome import Exit, Stop
from studio.render import render as rendered


def render(name: str | None, out: Path, *, as_json: bool) -> None:
    """Write every file of the generation below a folder."""
    bundle = rendered(chosen.studio(name))
    try:
        written = bundle.write(out)
    except OSError as error:
        raise Stop(Exit.FAILED, f"{error.filename or out} cannot be written: {error.strerror}") from None
    if as_json:
        print(json.dumps({"generation": bundle.generation, "out": str(out), "files": written}, indent=2))
        return
    print(f"generation {bundle.generation}: {len(written)} files in {out}")
