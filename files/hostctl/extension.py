"""HiveMQ's File RBAC extension: fetched, checked, unpacked beside, put in place by rename."""

import os
from pathlib import Path
from typing import Any

from hostctl import store
from hostctl.errors import HostError
from hostctl.manifest import Manifest
from hostctl.paths import Paths

NAME = "hivemq-file-rbac-extension"
SOURCE = ".source.json"
MAX_BYTES = 64 * 2**20


def wanted(manifest: Manifest) -> dict[str, Any] | None:
    """Where the extension comes from: {"url", "sha256" or None}; None when this studio needs none."""
    return manifest.facts.get("extension")


def installed(paths: Paths) -> dict[str, Any] | None:
    """The source of the extension that is in place, or None."""
    found = store.read_json(paths.extensions / NAME / SOURCE)
    return found if isinstance(found, dict) else None


def is_right(found: dict[str, Any] | None, source: dict[str, Any] | None) -> bool:
    """Whether what is in place is what the manifest asks for (without a sha256 the first archive is kept)."""
    if source is None:
        return True
    if found is None or found.get("url") != source["url"]:
        return False
    return source.get("sha256") in (None, found.get("sha256"))


def fetch(url: str) -> bytes:
    """The content of an https:// or file:/// URL."""
    import urllib.request

    if not url.startswith(("https://", "file:///")):
        raise HostError(f"a URL to fetch must begin with https:// or file:///: {url}")
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - the scheme is checked above
            content: bytes = answer.read(MAX_BYTES + 1)
    except OSError as error:
        raise HostError(f"could not fetch {url}: {error}") from error
    if len(content) > MAX_BYTES:
        raise HostError(f"{url} is larger than {MAX_BYTES // 2**20} MB: that is not it")
    return content


def unpack(content: bytes, folder: Path) -> None:
    """Unpack the release archive, which must hold one folder of the extension's name and nothing outside it."""
    import io
    import zipfile

    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile:
        raise HostError("the File RBAC extension is no zip archive") from None
    with archive:
        names = archive.namelist()
        outside = [n for n in names if not n.startswith(f"{NAME}/") or ".." in n.split("/")]
        if outside or f"{NAME}/hivemq-extension.xml" not in names:
            raise HostError(f"the archive does not hold {NAME}/hivemq-extension.xml and only that folder")
        archive.extractall(folder)
    for base, _, files in os.walk(folder):
        Path(base).chmod(0o755)
        for name in files:
            (Path(base) / name).chmod(0o644)


def install(paths: Paths, manifest: Manifest) -> bool:
    """Put the extension in place; False when it is there already."""
    import hashlib
    import shutil
    import tempfile

    source = wanted(manifest)
    if source is None or is_right(installed(paths), source):
        return False
    content = fetch(source["url"])
    digest = hashlib.sha256(content).hexdigest()
    if source.get("sha256") not in (None, digest):
        raise HostError(f"{source['url']} has the SHA-256 {digest}, but the inventory wants {source['sha256']}")
    store.make_folder(paths.extensions)
    for leftover in paths.extensions.glob(".*"):
        shutil.rmtree(leftover, ignore_errors=True)
    staged = Path(tempfile.mkdtemp(prefix=".incoming-", dir=paths.extensions))
    unpack(content, staged)
    # Configuration and accounts are mounted over this folder: what the archive ships there must never count.
    shutil.rmtree(staged / NAME / "conf", ignore_errors=True)
    (staged / NAME / "conf").mkdir(mode=0o755)
    store.write_json(staged / NAME / SOURCE, {"url": source["url"], "sha256": digest})
    os.sync()
    store.write(paths.marks / manifest.broker, b"its extension was replaced\n")
    target = paths.extensions / NAME
    if target.exists():
        target.rename(paths.extensions / f".replaced-{os.getpid()}")
    (staged / NAME).rename(target)
    store.sync_folder(paths.extensions)
    for leftover in paths.extensions.glob(".*"):
        shutil.rmtree(leftover, ignore_errors=True)
    return True
