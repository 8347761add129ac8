"""What is rendered, to be looked at in a review: tests/golden/<studio>/.

After a wanted change: UPDATE_GOLDEN=1 .venv/bin/pytest tests/unit/test_render_golden.py, and look at the difference.
Hashes and files that are copied from the repository as they are stay out of it.
"""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from studio.bundle import MANIFEST, Bundle
from studio.model import Studio, load_studio
from studio.paths import FILES, ROOT, TEMPLATES
from studio.render import render

GOLDEN = ROOT / "tests" / "golden"
EVERYTHING = GOLDEN / "everything.yaml"
HASH = re.compile(r"\b[0-9a-f]{16}\b")
COPIED = {p.name for folder in (FILES / "vrl", TEMPLATES / "bin") for p in folder.iterdir()} | {
    "hostctl.pyz",
    "hub.tar",
    "logback.xml",
}


def studio(name: str) -> Studio:
    return load_studio(EVERYTHING) if name == "everything" else load_studio(name)


def manifest(bundle: Bundle) -> str:
    kept = {key: value for key, value in bundle.manifest.items() if key not in {"files", "generation"}}
    return json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def shown(bundle: Bundle) -> dict[str, str]:
    """The files worth looking at, without hashes."""
    files = {p: a.content.decode() for p, a in bundle.files.items() if Path(p).name not in COPIED}
    return {p: HASH.sub("<hash>", text) for p, text in {**files, MANIFEST: manifest(bundle)}.items()}


@pytest.mark.parametrize("name", ["lab", "rosewood", "everything"])
def test_what_is_rendered_is_what_was_last_looked_at(name: str) -> None:
    folder = GOLDEN / name
    found = shown(render(studio(name)))
    if os.environ.get("UPDATE_GOLDEN"):
        shutil.rmtree(folder, ignore_errors=True)
        for path, text in found.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    expected = {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}
    assert sorted(found) == sorted(expected)
    for path, text in found.items():
        assert text == expected[path], f"{name}/{path} changed; if it should: UPDATE_GOLDEN=1 pytest {__file__}"
