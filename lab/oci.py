"""Write container images as OCI archives: the OCI image layout 1.0 in a tar, as `podman load` and `skopeo` read it.

Specification: https://github.com/opencontainers/image-spec (layout, manifest, config, annotations).
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CREATED = "2025-06-15T00:00:00Z"
EPOCH = 1_750_000_000  # seconds; one time stamp for everything, so that the same content is the same image


@dataclass(frozen=True)
class ImageConfig:
    """How a container of the image runs when nothing else is said."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = ""
    workdir: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


def write_archive(target: Path, reference: str, layers: Sequence[Path], config: ImageConfig, architecture: str) -> None:
    """Write the image `reference` to `target`.

    Args:
        target: the archive's file.
        reference: full name with tag, e.g. `localhost/lab/x:1`.
        layers: uncompressed tars, the lowest first.
        config: how it runs.
        architecture: Debian's name of it, which is also OCI's for `amd64` and `arm64`.
    """
    sums = [_sum_of(layer) for layer in layers]
    config_blob = _json(_config(config, sums, architecture))
    described = [_descriptor(LAYER, digest, layer.stat().st_size) for digest, layer in zip(sums, layers, strict=True)]
    config_described = _described(CONFIG, config_blob)
    manifest = _json({"schemaVersion": 2, "mediaType": MANIFEST, "config": config_described, "layers": described})
    entry = {**_described(MANIFEST, manifest), "annotations": {"org.opencontainers.image.ref.name": reference}}
    index = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(archive, "index.json", index)
        for blob in (manifest, config_blob):
            _add(archive, _blob_name(hashlib.sha256(blob).hexdigest()), blob)
        for digest, layer in dict(zip(sums, layers, strict=True)).items():
            with layer.open("rb") as content:
                archive.addfile(_entry(_blob_name(digest), layer.stat().st_size), content)


def write_layer(target: Path, tree: Path, at: str = "", folders: Mapping[str, int] | None = None) -> None:
    """Write the folder `tree` as a layer: sorted, owned by root, one time stamp; symlinks stay what they are.

    Args:
        at: where in the image the folder's content goes; its root when not given.
        folders: empty folders to make besides, each with the number of the user it belongs to.
    """

    def as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if "__pycache__" in entry.name:
            return None
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = EPOCH
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as layer:
        for child in sorted(tree.iterdir()):
            layer.add(child, arcname=f"{at}/{child.name}".lstrip("/"), filter=as_root)
        for name, owner in (folders or {}).items():
            entry = _entry(name.lstrip("/"), 0)
            entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o755, owner, owner
            layer.addfile(entry)


def _config(config: ImageConfig, sums: Sequence[str], architecture: str) -> dict[str, object]:
    running: dict[str, object] = {
        "User": config.user,
        "Env": [f"{key}={value}" for key, value in config.environment.items()],
        "WorkingDir": config.workdir,
        "Labels": dict(config.labels),
        "Volumes": {volume: {} for volume in config.volumes},
    }
    if config.entrypoint:
        running["Entrypoint"] = list(config.entrypoint)
    if config.command:
        running["Cmd"] = list(config.command)
    layers = {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in sums]}
    history = [{"created": CREATED, "created_by": "lab"} for _ in sums]
    where = {"created": CREATED, "architecture": architecture, "os": "linux"}
    return {**where, "config": running, "rootfs": layers, "history": history}


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _described(media_type: str, blob: bytes) -> dict[str, object]:
    return _descriptor(media_type, hashlib.sha256(blob).hexdigest(), len(blob))


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _blob_name(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def _sum_of(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, EPOCH, 0o644
    return entry


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    archive.addfile(_entry(name, len(content)), io.BytesIO(content))
