"""The guest's root: a Debian as freshly installed, and in it an apt repository of all that a deploy installs."""

import hashlib
import os
import shutil
from pathlib import Path

from lab import debian
from lab.cache import Input, cached
from lab.paths import LAB
from lab.run import run

BARE = ["systemd", "systemd-sysv", "dbus", "libpam-systemd", "python3", "python3-venv", "sudo", "openssh-server"]
BARE += ["curl", "ca-certificates", "iproute2", "procps"]
FOR_A_DEPLOY = ["podman", "uidmap", "slirp4netns", "passt", "netavark", "aardvark-dns", "crun", "dbus-user-session"]
FOR_A_DEPLOY += ["monit", "prometheus-node-exporter", "nftables", "openssl", "python3-paho-mqtt", "mosquitto"]
FOR_A_DEPLOY += ["mosquitto-clients", "acl", "unzip", "jq", "rsync", "influxdb", "influxdb-client", "libxml2-utils"]
REPOSITORY = "/var/lib/lab/apt"
VERSION = "2"


def build_base() -> Path:
    """The bare root, a folder that is never written to again: every host lays its own changes over it."""
    guest = LAB / "guest"
    inputs: list[Input] = [VERSION, debian.SUITE, debian.architecture(), *BARE, "|", *FOR_A_DEPLOY, guest]
    return cached("base", "Debian 13 for the guest, with a local apt repository (about 30 s)", inputs, _make_base)


def _make_base(target: Path) -> None:
    packages = target.with_name(f"{target.name}-packages")
    shutil.rmtree(packages, ignore_errors=True)
    packages.mkdir(parents=True)
    download = f'chroot "$1" apt-get install -yq --download-only {" ".join(FOR_A_DEPLOY)}'
    hooks = [f"--customize-hook={download}", f"--customize-hook=copy-out /var/cache/apt/archives {packages}"]
    debian.mmdebstrap(target, BARE, variant="minbase", options=hooks)
    repository = target / REPOSITORY.lstrip("/")
    repository.mkdir(parents=True)
    write_repository(sorted(packages.rglob("*.deb")), repository)
    shutil.rmtree(packages)
    shutil.copytree(LAB / "guest", target, symlinks=True, dirs_exist_ok=True)
    (target / "etc/sudoers.d/lab").chmod(0o440)
    (target / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:{REPOSITORY} ./\n")
    for leftover in (target / "etc/apt/sources.list.d").glob("*"):
        leftover.unlink()
    run(["chroot", target, "apt-get", "update", "-q"])
    run(["chroot", target, "useradd", "--create-home", "--shell", "/bin/bash", "--groups", "sudo", "artist"])
    # the options of this build (no recommended packages, a proxy) are not those of a studio's machine
    run(
        [
            "chroot",
            target,
            "rm",
            "-f",
            "/etc/apt/apt.conf.d/99mmdebstrap",
            "/etc/resolv.conf",
            "/etc/hostname",
            "/etc/machine-id",
        ]
    )
    (target / "etc/machine-id").touch()


def write_repository(packages: list[Path], repository: Path) -> None:
    """Move `packages` into `repository` and write the `Packages` index that apt reads from it."""
    stanzas = []
    for package in packages:
        # apt decodes %3a in a file: address, so the epoch's colon must not be in a file's name
        name = package.name.replace("%3a", ".")
        content = package.read_bytes()
        control = run(["dpkg-deb", "--field", package]).strip()
        digest = hashlib.sha256(content).hexdigest()
        stanzas.append(f"{control}\nFilename: ./{name}\nSize: {len(content)}\nSHA256: {digest}\n")
        shutil.move(package, repository / name)
        (repository / name).chmod(0o644)
        os.chown(repository / name, 0, 0)
    (repository / "Packages").write_text("\n".join(stanzas))
