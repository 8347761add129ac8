"""Debian as the lab's raw material: this machine's mirror and proxies, and mmdebstrap with them."""

import os
import platform
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from lab.run import LabError, run, step

SUITE = "trixie"
NEEDS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mvn": "maven",
    "javac": "default-jdk-headless",
    "ssh-keygen": "openssh-client",
    "dpkg-deb": "dpkg",
}
BOOT_NEEDS = ("systemd-nspawn", "mmdebstrap", "ip", "nsenter", "ssh-keygen")


def install_needs() -> None:
    """Install by apt what the lab needs on this machine and does not find.

    Raises:
        LabError: something is missing and this is not root on a Debian machine.
    """
    missing = sorted({package for command, package in NEEDS.items() if shutil.which(command) is None})
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise LabError(f"the lab needs {', '.join(missing)}: sudo apt-get install {' '.join(missing)}")
    with step(f"installing {', '.join(missing)} on this machine"):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-q"], env=quiet)
        run(["apt-get", "install", "-yq", "--no-install-recommends", *missing], env=quiet)


def architecture() -> str:
    """Debian's name of this machine's architecture."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def mirror_from(sources: dict[str, str], codename: str) -> str:
    """The mirror this machine takes Debian itself from.

    Args:
        sources: name of a file under /etc/apt to its text, in both of apt's formats.
        codename: this machine's own release, e.g. `bookworm`.

    Raises:
        LabError: none of them names one.
    """
    for name, text in sorted(sources.items()):
        if name.endswith(".sources"):
            for stanza in re.split(r"\n\s*\n", text):
                fields = dict(re.findall(r"^(\w[\w-]*):[ \t]*(.*)$", stanza, re.MULTILINE))
                if codename in fields.get("Suites", "").split() and "main" in fields.get("Components", "").split():
                    return str(fields["URIs"]).split()[0].rstrip("/")
        for uri in re.findall(
            rf"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+{re.escape(codename)}\s.*\bmain\b", text, re.MULTILINE
        ):
            return str(uri).rstrip("/")
    raise LabError(
        f"no file under /etc/apt names a mirror for {codename}, so there is nowhere to take Debian from; add one, "
        f"e.g. a line `deb URL {codename} main` in /etc/apt/sources.list"
    )


def mirror() -> str:
    """The Debian mirror of this machine's own apt configuration."""
    apt = Path("/etc/apt")
    files = [apt / "sources.list", *(apt / "sources.list.d").glob("*")]
    sources = {
        path.name: path.read_text(errors="replace")
        for path in files
        if path.suffix in {".list", ".sources"} and path.is_file()
    }
    release = Path("/etc/os-release").read_text()
    codename = re.search(r"^VERSION_CODENAME=\"?(\w+)", release, re.MULTILINE)
    distribution = re.search(r"^ID=\"?(\w+)", release, re.MULTILINE)
    if codename is None or distribution is None or distribution[1] != "debian":
        raise LabError("the lab is made from Debian's packages, and this machine is no Debian")
    return mirror_from(sources, codename[1])


def mmdebstrap(target: Path, include: Sequence[str], *, variant: str, options: Sequence[str] = ()) -> None:
    """Make a Debian root at `target`: a folder, or a tar when the name ends so."""
    proxies = re.findall(r'^(Acquire::https?::[Pp]roxy[\w:.]* "[^"]+");$', run(["apt-config", "dump"]), re.MULTILINE)
    argv: list[str | Path] = [
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        f"--variant={variant}",
        f"--include={','.join(include)}",
    ]
    argv += [f"--aptopt={line}" for line in ('APT::Install-Recommends "false"', *proxies)]
    argv += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale", "info", "lintian")]
    run(
        [*argv, *options, SUITE, target, mirror()],
        env={"SOURCE_DATE_EPOCH": "1750000000", "TMPDIR": str(target.parent)},
    )
