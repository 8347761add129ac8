"""An image written by the lab is an OCI image layout as the specification has it."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lab.oci import ImageConfig, write_archive, write_layer

REFERENCE = "localhost/lab/thing:1.0"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/run").write_text("#!/bin/sh\n")
    (tree / "usr/bin/run").chmod(0o700)
    (tree / "usr/bin/wget").symlink_to("busybox")
    (tree / "usr/bin/__pycache__").mkdir()
    return tree


@pytest.fixture
def archive(tmp_path: Path, tree: Path) -> Path:
    lower, upper = tmp_path / "lower.tar", tmp_path / "upper.tar"
    write_layer(lower, tree)
    write_layer(upper, tree, at="opt/thing", folders={"/var/thing": 10000})
    config = ImageConfig(entrypoint=["/usr/bin/run"], user="10000", environment={"A": "b c"}, volumes=["/var/thing"])
    write_archive(tmp_path / "image.tar", REFERENCE, [lower, upper], config, "amd64")
    return tmp_path / "image.tar"


def blobs_of(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as image:
        return {entry.name: image.extractfile(entry).read() for entry in image.getmembers()}  # type: ignore[union-attr]


def follow(blobs: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    """The blob that a descriptor points at, whose digest and size must be what it says."""
    content = blobs["blobs/" + descriptor["digest"].replace(":", "/")]
    assert descriptor["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert descriptor["size"] == len(content)
    return content


def entries_of(layer: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as content:
        return {entry.name: entry for entry in content.getmembers()}


def test_every_descriptor_from_the_index_down_to_the_layers_is_true(archive: Path) -> None:
    blobs = blobs_of(archive)
    assert json.loads(blobs["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads(blobs["index.json"])["manifests"]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": REFERENCE}
    manifest = json.loads(follow(blobs, entry))
    config = json.loads(follow(blobs, manifest["config"]))
    layers = [follow(blobs, layer) for layer in manifest["layers"]]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    assert len(config["history"]) == len(layers) == 2
    assert len(blobs) == 2 + 1 + 1 + 2, "nothing but layout, index, manifest, config and the two layers"


def test_the_config_says_how_it_runs(archive: Path) -> None:
    blobs = blobs_of(archive)
    manifest = json.loads(follow(blobs, json.loads(blobs["index.json"])["manifests"][0]))
    config = json.loads(follow(blobs, manifest["config"]))
    assert (config["architecture"], config["os"]) == ("amd64", "linux")
    assert config["config"]["Entrypoint"] == ["/usr/bin/run"]
    assert config["config"]["Env"] == ["A=b c"]
    assert config["config"]["User"] == "10000"
    assert config["config"]["Volumes"] == {"/var/thing": {}}
    assert "Cmd" not in config["config"]


def test_layers_belong_to_root_keep_links_and_have_the_folders_asked_for(archive: Path) -> None:
    blobs = blobs_of(archive)
    manifest = json.loads(follow(blobs, json.loads(blobs["index.json"])["manifests"][0]))
    lower, upper = (entries_of(follow(blobs, layer)) for layer in manifest["layers"])
    assert lower["usr/bin/run"].mode == 0o755
    assert lower["usr/bin/wget"].linkname == "busybox"
    assert not any("__pycache__" in name for name in lower)
    assert {entry.uid for entry in lower.values()} == {0}
    assert "opt/thing/usr/bin/run" in upper
    assert upper["var/thing"].isdir()
    assert upper["var/thing"].uid == 10000


def test_the_same_content_is_the_same_image(archive: Path, tree: Path, tmp_path: Path) -> None:
    (tree / "usr/bin/run").touch()
    again = tmp_path / "again.tar"
    write_layer(again, tree)
    assert again.read_bytes() == (tmp_path / "lower.tar").read_bytes()
    (tree / "usr/bin/run").write_text("#!/bin/sh\nexit 1\n")
    write_layer(again, tree)
    assert again.read_bytes() != (tmp_path / "lower.tar").read_bytes()
