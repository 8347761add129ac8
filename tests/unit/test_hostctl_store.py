"""Files and generations: whole or not at all, verified, kept while they are needed."""

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hostctl_support import FILES, facts

from hostctl import generation, manifest, store
from hostctl.errors import HostError
from hostctl.paths import Paths
from studio.bundle import Artifact, Bundle


def bundle(files: dict[str, bytes] = FILES, **changes: Any) -> Bundle:
    told = {k: v for k, v in facts(**changes).items() if k not in ("files", "generation")}
    return Bundle({path: Artifact(content) for path, content in files.items()}, told)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


def current(paths: Paths, name: str) -> None:
    store.link(paths.current, f"generations/{name}")


def test_a_file_is_written_once_and_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b"
    assert store.write(file, b"x", 0o600)
    assert not store.write(file, b"x", 0o600)
    assert store.write(file, b"x", 0o644)
    assert file.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in file.parent.iterdir()] == ["b"]


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "b"
    store.write(file, b"old")

    def fail(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        store.write(file, b"new")
    assert file.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_link_replaces_what_it_was(tmp_path: Path) -> None:
    assert store.link(tmp_path / "l", "a")
    assert not store.link(tmp_path / "l", "a")
    assert store.link(tmp_path / "l", "b")
    assert str((tmp_path / "l").readlink()) == "b"


def test_the_generation_that_was_rendered_is_the_one_on_the_host(paths: Paths) -> None:
    made = bundle()
    assert generation.install(paths, made.tar_gz()) == made.generation
    assert (
        generation.differing(paths.generation(made.generation), manifest.load(paths.generation(made.generation))) == []
    )
    assert manifest.names(paths) == [made.generation]


def test_installing_it_again_changes_nothing(paths: Paths) -> None:
    made = bundle()
    generation.install(paths, made.tar_gz())
    generation.install(paths, made.tar_gz())
    assert [p.name for p in paths.generations.iterdir()] == [made.generation]
    assert not paths.marks.exists()


def test_an_archive_that_is_not_what_its_manifest_says_is_refused(paths: Paths) -> None:
    made = bundle()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for path, artifact in made.all_files():
            content = b"evil" if path == "vector/vector.yaml" else artifact.content
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(content), artifact.mode
            tar.addfile(info, io.BytesIO(content))
    with pytest.raises(HostError, match=r"vector/vector\.yaml"):
        generation.install(paths, out.getvalue())
    assert list(paths.generations.iterdir()) == []


def test_a_manifest_that_does_not_hash_to_its_name_is_refused(paths: Paths) -> None:
    made = bundle()
    object.__setattr__(made, "manifest", {**made.manifest, "studio": "other"})
    with pytest.raises(HostError, match="does not hash"):
        generation.install(paths, made.tar_gz())


@pytest.mark.parametrize("harm", ["changed", "mode", "missing", "extra", "link"])
def test_what_somebody_changed_is_found_put_right_and_marked_for_a_restart(paths: Paths, harm: str) -> None:
    made = bundle()
    generation.install(paths, made.tar_gz())
    file = paths.generation(made.generation) / "vector/vector.yaml"
    wanted = manifest.load(paths.generation(made.generation))
    if harm == "changed":
        file.write_bytes(b"changed")
    elif harm == "mode":
        file.chmod(0o666)
    elif harm == "missing":
        file.unlink()
    elif harm == "extra":
        (file.parent / "extra").write_bytes(b"")
    else:
        file.unlink()
        file.symlink_to("/etc/passwd")
    assert generation.damaged(paths, wanted) == ["vector/extra" if harm == "extra" else "vector/vector.yaml"]
    generation.install(paths, made.tar_gz())
    assert generation.damaged(paths, wanted) == []
    if harm != "extra":
        assert [p.name for p in paths.marks.iterdir()] == ["vector"]


def test_the_newest_five_generations_stay_and_any_that_is_needed(paths: Paths) -> None:
    made = [bundle(title=str(n)) for n in range(9)]
    for n, one in enumerate(made):
        generation.install(paths, one.tar_gz())
        os.utime(paths.generation(one.generation), (n, n))
    current(paths, made[0].generation)
    store.write_json(paths.pending, {"from": made[1].generation, "to": made[0].generation})
    gone = generation.prune(paths)
    assert gone == [made[2].generation, made[3].generation]
    assert set(manifest.names(paths)) == {made[n].generation for n in (0, 1, 4, 5, 6, 7, 8)}


def test_a_generation_that_a_running_container_has_mounted_stays(paths: Paths, tmp_path: Path) -> None:
    process = tmp_path / "proc" / "42"
    process.mkdir(parents=True)
    (process / "mountinfo").write_text(
        f"1 2 0:3 {paths.generations}/{'a' * 16}/vector /etc/vector ro - ext4 /dev/x rw\n"
    )
    assert generation.mounted(paths, tmp_path / "proc") == {"a" * 16}


def test_the_current_generation_is_never_thrown_away(paths: Paths) -> None:
    made = bundle()
    generation.install(paths, made.tar_gz())
    current(paths, made.generation)
    generation.discard(paths, made.generation)
    assert manifest.names(paths) == [made.generation]


def test_what_an_interrupted_upload_left_is_removed(paths: Paths) -> None:
    (paths.generations / ".incoming-x").mkdir(parents=True)
    generation.install(paths, bundle().tar_gz())
    assert not list(paths.generations.glob(".*"))
