"""What is a host's own on disk: its changes over the base, filled in when it is made, copied for a snapshot."""

import hashlib
import json
import shutil
from pathlib import Path

from lab import keys, mounts, paths, state
from lab.build import GuestParts
from lab.cache import remove
from lab.guest import PATH
from lab.run import LabError, run, write_atomically

OWN = ("upper", "plain")


def populate(name: str, index: int, parts: GuestParts, inventory: str, snapshot: str | None) -> state.HostState:
    """Make the host's folder, bare or from a snapshot. Nothing counts until its state is saved."""
    folder = state.folder(name)
    remove(folder)
    folder.mkdir(parents=True)
    base = str(parts.base)
    if snapshot is None:
        for plain in mounts.PLAIN:
            target = mounts.plain_folder(folder, plain)
            target.parent.mkdir(exist_ok=True)
            run(["cp", "--archive", "--reflink=auto", parts.base / plain, target]) if (
                parts.base / plain
            ).is_dir() else target.mkdir()
    else:
        saved = paths.snapshots_dir() / state.checked_name(snapshot)
        if not (saved / "snapshot.json").exists():
            raise LabError(
                f"there is no snapshot {snapshot}; make one of a host: python -m lab snapshot HOST {snapshot}"
            )
        base = json.loads((saved / "snapshot.json").read_text())["base"]
        run(["cp", "--archive", "--reflink=auto", *(saved / own for own in OWN), folder])
    known = state.HostState(name, index, base, str(parts.venv), inventory, snapshot)
    _personalise(known, folder / "upper", folder)
    return known


def save_snapshot(host: state.HostState, name: str) -> None:
    """Copy what is the (stopped) host's own to `snapshots/NAME`, replacing an older one of that name."""
    final = paths.snapshots_dir() / state.checked_name(name)
    temporary = final.with_name(f".{name}")
    remove(temporary)
    temporary.mkdir(parents=True)
    run(["cp", "--archive", "--reflink=auto", *(state.folder(host.name) / own for own in OWN), temporary])
    write_atomically(temporary / "snapshot.json", json.dumps({"base": host.base, "of": host.name}) + "\n")
    remove(final)
    temporary.rename(final)


def _personalise(host: state.HostState, upper: Path, folder: Path) -> None:
    """Name, address book, keys: what differs from host to host."""
    machine_id = hashlib.sha256(str(folder).encode()).hexdigest()[:32]
    files = {
        "etc/hostname": f"{host.name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n::1 localhost\n",
        "etc/machine-id": f"{machine_id}\n",
        "etc/environment": f"STUDIO={host.inventory}\nPATH={PATH}\n",
        "etc/profile.d/lab.sh": f"export PATH={PATH}\n",
        "root/.ssh/authorized_keys": keys.public_key(),
    }
    for place, text in files.items():
        _place(upper, place, Path(host.base), text)
    home = mounts.plain_folder(folder, "home") / "artist"
    (home / ".ssh").mkdir(exist_ok=True)
    (home / ".ssh/authorized_keys").write_text(keys.public_key())
    owner = (Path(host.base) / "home/artist").stat()
    for path in (home / ".ssh", home / ".ssh/authorized_keys"):
        shutil.chown(path, owner.st_uid, owner.st_gid)
    (home / ".ssh").chmod(0o700)


def _place(upper: Path, place: str, base: Path, text: str) -> None:
    """Write a file of the upper layer; folders on the way get the owner and mode that they have in the base."""
    for parent in reversed(list(Path(place).parents)):
        if not (upper / parent).exists():
            (upper / parent).mkdir()
            (upper / parent).chmod((base / parent).stat().st_mode & 0o7777 if (base / parent).exists() else 0o700)
    (upper / place).write_text(text)
