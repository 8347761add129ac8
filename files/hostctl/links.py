"""The few places outside /var/lib/sensor-pipeline that lead into the current generation."""

from pathlib import Path

from hostctl import folders, store, units
from hostctl.manifest import Manifest
from hostctl.paths import Paths
from hostctl.run import Account

MANAGER = """# The systemd of the account that runs the containers. Killed (by the kernel when memory runs out,
# say), it takes all containers with it and nobody would start it again; and podman would look for them
# for ever, unless it is made to believe in a reboot.
[Unit]
StartLimitIntervalSec=0

[Service]
ExecStartPre=-/usr/bin/rm -f /run/user/%i/libpod/tmp/alive /run/user/%i/libpod/tmp/pause.pid
Restart=on-failure
RestartSec=1
"""


def manager_drop_in(paths: Paths, who: Account) -> Path:
    """The file that makes the account's systemd come back by itself."""
    return paths.units / f"user@{who.uid}.service.d" / "sensor-pipeline.conf"


def wanted_links(paths: Paths, manifest: Manifest, who: Account | None) -> dict[Path, str]:
    links = {paths.units / name: str(paths.current / "systemd" / name) for name in manifest.drop_ins}
    links[paths.command] = str(paths.current / "bin/hostctl")
    if who:
        links[paths.quadlets(who.uid)] = str(paths.current / "quadlets")
    return links


def _ours(paths: Paths) -> list[Path]:
    """Links of any generation below /etc/systemd/system."""
    candidates = [*paths.units.glob("*"), *paths.units.glob("*.d/*")] if paths.units.is_dir() else []
    return [p for p in candidates if p.is_symlink() and str(p.readlink()).startswith(f"{paths.current}/systemd/")]


def wrong(paths: Paths, manifest: Manifest, who: Account | None) -> list[str]:
    """Links, units and folders that are missing, lead elsewhere, or should not be there."""
    wanted = wanted_links(paths, manifest, who)
    bad = [str(p) for p, target in wanted.items() if not (p.is_symlink() and str(p.readlink()) == target)]
    bad += [str(p) for p in _ours(paths) if p not in wanted]
    bad += units.wrong(paths, manifest)
    bad += folders.wrong(paths, manifest, who)
    if who:
        drop_in = manager_drop_in(paths, who)
        if not drop_in.is_file() or drop_in.read_text() != MANAGER:
            bad.append(str(drop_in))
    return sorted(bad)


def place(paths: Paths, manifest: Manifest, who: Account) -> None:
    """Make the links of this generation and remove those it does not have."""
    wanted = wanted_links(paths, manifest, who)
    for path in _ours(paths):
        if path not in wanted:
            store.remove(path)
            if path.parent != paths.units and not any(path.parent.iterdir()):
                path.parent.rmdir()
    own = paths.quadlets(who.uid).parent
    if own.is_symlink():
        store.remove(own)
    for path, target in wanted.items():
        store.link(path, target)
    store.write(manager_drop_in(paths, who), MANAGER.encode())
    for name, text in units.wanted(paths, manifest).items():
        store.write(paths.units / name, text.encode())
    folders.place(paths, manifest, who)
