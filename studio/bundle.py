"""A Bundle: every file of one generation, named by the hash of its content.

A generation is what `render(studio)` gives: paths relative to the generation's folder, bytes and modes, nothing
else. The same bundle always makes the same archive, byte for byte.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file: its content and its permission bits (0o644, or 0o600 and 0o755 where the component asks for it)."""

    content: bytes
    mode: int = 0o644

    @classmethod
    def text(cls, content: str, mode: int = 0o644) -> "Artifact":
        return cls(content.encode(), mode)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


Artifacts = Mapping[str, Artifact]


def short_hash(value: Any) -> str:
    """16 hex digits of the SHA-256 of a JSON value, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:16]


def files_hash(files: Artifacts) -> str:
    """16 hex digits over the paths, modes and contents of some files."""
    return short_hash([(path, f"{files[path].mode:04o}", files[path].sha256) for path in sorted(files)])


@dataclass(frozen=True)
class Bundle:
    """The files of one generation and its manifest (a JSON object without the keys `generation` and `files`)."""

    files: Artifacts
    facts: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the host reads: the facts, every file's hash and mode, and the generation's name."""
        listed = {p: {"sha256": a.sha256, "mode": f"{a.mode:04o}"} for p, a in sorted(self.files.items())}
        content = {**self.facts, "files": listed}
        return {**content, "generation": short_hash(content)}

    @property
    def generation(self) -> str:
        return str(self.manifest["generation"])

    def all_files(self) -> Iterator[tuple[str, Artifact]]:
        """Every file with its path, in order, the manifest last."""
        yield from sorted(self.files.items())
        yield MANIFEST, Artifact.text(json.dumps(self.manifest, indent=1, sort_keys=True) + "\n")

    def tar_gz(self) -> bytes:
        """One archive of all files, owned by root, dated 1970: the same bundle gives the same bytes."""
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path, artifact in self.all_files():
                info = tarfile.TarInfo(path)
                info.size, info.mode, info.mtime = len(artifact.content), artifact.mode, 0
                info.uname = info.gname = "root"
                tar.addfile(info, io.BytesIO(artifact.content))
        return gzip.compress(plain.getvalue(), compresslevel=6, mtime=0)

    def write(self, out: Path) -> list[str]:
        """Write every file below `out` (made when missing); returns the paths written, relative to it."""
        written = []
        for path, artifact in self.all_files():
            target = out / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(artifact.content)
            target.chmod(artifact.mode)
            written.append(path)
        return written
