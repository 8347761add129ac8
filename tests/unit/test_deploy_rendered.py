"""What a deploy keeps of an earlier rendering, and when it renders anew."""

import importlib
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from studio.paths import PYINFRA


@pytest.fixture
def rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the deploy's steps, with a cache of its own and one inventory."""
    monkeypatch.syspath_prepend(str(PYINFRA))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    module = importlib.import_module("steps.rendered")
    (tmp_path / "small.yaml").write_text("name: small\nfurnaces:\n  - {id: main, low: 1000, high: 1200}\n")
    monkeypatch.setattr(module, "INVENTORIES", tmp_path)
    monkeypatch.setattr("studio.model.loader.INVENTORIES", tmp_path)
    from studio.model import loader

    monkeypatch.setattr(module, "_load", lambda name: loader.load_studio(tmp_path / f"{name}.yaml"))
    return module


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "sensor-pipeline").glob("*.json"))


def test_the_second_time_nothing_is_rendered(rendered: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = rendered.rendered("small")
    monkeypatch.setattr(rendered, "_render", lambda *_: pytest.fail("it was rendered again"))
    assert rendered.rendered("small") == first
    (file,) = kept(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_changed_inventory_is_rendered_anew(rendered: Any, tmp_path: Path) -> None:
    first = rendered.rendered("small")
    (tmp_path / "small.yaml").write_text("name: small\nfurnaces:\n  - {id: main, low: 1000, high: 1300}\n")
    assert rendered.rendered("small").facts["generation"] != first.facts["generation"]
    assert len(kept(tmp_path)) == 2


def test_a_changed_source_is_another_key(rendered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rendered._key("small")
    monkeypatch.setattr(rendered, "SOURCES", ("studio",))
    assert rendered._key("small") != before


@pytest.mark.parametrize("harm", ["damaged", "writable"])
def test_what_cannot_be_trusted_is_rendered_anew(rendered: Any, tmp_path: Path, harm: str) -> None:
    first = rendered.rendered("small")
    (file,) = kept(tmp_path)
    if harm == "damaged":
        file.write_text("{")
    else:
        file.write_text(file.read_text().replace("small", "evil!"))
        file.chmod(0o666)
    again = rendered.rendered("small")
    assert (again.facts, again.archive) == (first.facts, first.archive)


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(rendered: Any, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert rendered.rendered("small").facts["studio"] == "small"


def test_a_bad_inventory_is_told_and_not_kept(rendered: Any, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("name: small\n")
    with pytest.raises(rendered.BadInventory, match="furnaces"):
        rendered.rendered("small")
    assert kept(tmp_path) == []


def test_the_program_is_compiled_for_this_python_and_has_its_sources_for_others(rendered: Any) -> None:
    names = zipfile.ZipFile(io.BytesIO(rendered.rendered("small").program)).namelist()
    sources = {name for name in names if name.endswith(".py")}
    assert "hostctl/probe.py" in sources
    assert {f"{name}c" for name in sources} == set(names) - sources


def test_the_compiled_modules_are_what_python_runs(
    rendered: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("proof_of_zip.py", "WHERE = __cached__ if '__cached__' in globals() else __file__\n")
    program = tmp_path / "p.zip"
    program.write_bytes(rendered.compiled(out.getvalue()))
    monkeypatch.syspath_prepend(str(program))
    sys.modules.pop("proof_of_zip", None)
    module = importlib.import_module("proof_of_zip")
    assert str(module.__file__).endswith("proof_of_zip.pyc")
