"""Where the lab keeps what it builds and runs, and what its things are called on the outer machine."""

import hashlib
import os
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
LAB = REPO / "lab"


def lab_dir() -> Path:
    """The folder for everything the lab makes: `LAB_DIR`, or `.lab` at the repository's root."""
    return Path(os.environ.get("LAB_DIR") or REPO / ".lab").resolve()


def tag() -> str:
    """Six hex digits that keep the namespaces and control groups of two lab folders on one machine apart."""
    return hashlib.sha256(str(lab_dir()).encode()).hexdigest()[:6]


def cache_dir() -> Path:
    return lab_dir() / "cache"


def hosts_dir() -> Path:
    return lab_dir() / "hosts"


def snapshots_dir() -> Path:
    return lab_dir() / "snapshots"


def images_dir() -> Path:
    """One `<component>.tar` a component; what the guest sees at `/var/lib/lab/images`."""
    return lab_dir() / "images"


def archive_dir() -> Path:
    """Archives that are no images (the broker's extension); `/var/lib/lab/archive` in the guest."""
    return lab_dir() / "archive"
