"""What plain processes are made of: Debian 13's packages unpacked, and Python packages for Debian 13's Python."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.markers import Marker

from lab import debian, paths
from lab.cache import Input, cached, remove
from lab.images import VECTOR_NEEDS
from lab.python_env import LOCK, pins
from lab.run import LabError, run

VERSION = "2"
PACKAGES = ("victoria-metrics", "prometheus-alertmanager", "prometheus-node-exporter", "mosquitto", "python3")
PYTHON = "3.13"
LOADERS = {"amd64": "lib64/ld-linux-x86-64.so.2", "arm64": "lib/ld-linux-aarch64.so.1"}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
UNWANTED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian")


def why_not() -> str | None:
    """The reason why not even plain processes can be had here, as a sentence for a person; None when they can."""
    missing = [command for command in ("apt-get", "dpkg-deb") if shutil.which(command) is None]
    if missing:
        return f"{', '.join(missing)} is missing: Debian's packages are fetched and unpacked with them"
    if not KEYRING.exists():
        return f"{KEYRING} is missing (package debian-archive-keyring): nothing unsigned is run"
    if debian.architecture() not in LOADERS:
        return f"nobody has tried it on {debian.architecture()}"
    folder = paths.lab_dir()
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"{folder} cannot be written to; set LAB_DIR to a folder of yours"
    return None


def build_root(wanted: tuple[str, ...] = PACKAGES) -> Path:
    """A folder with packages of Debian 13 and all they depend on, unpacked."""

    def make(target: Path) -> None:
        work = target.with_name(f"{target.name}-apt")
        remove(work)
        try:
            packages = _download(work, wanted)
            target.mkdir(parents=True)
            # A root without /usr merged in would get folders where the packages expect links.
            for name in ("bin", "lib", "lib64", "sbin"):
                (target / "usr" / name).mkdir(parents=True)
                (target / name).symlink_to(f"usr/{name}")
            for package in packages:
                _unpack(package, target)
            if "prometheus-alertmanager" in wanted:
                _find_template_here(target)
        finally:
            remove(work)
        for unwanted in UNWANTED:
            shutil.rmtree(target / unwanted, ignore_errors=True)

    inputs: list[Input] = [VERSION, debian.SUITE, debian.architecture(), *wanted]
    return cached("plain-root", f"Debian 13's {', '.join(wanted)}, unpacked", inputs, make)


def _find_template_here(root: Path) -> None:
    """Let Alertmanager find its template below the folder that it is started in.

    Debian's has an absolute path in it, where nobody but root could put the file; a relative one of the same length
    takes its place in this copy.
    """
    program = root / "usr/bin/prometheus-alertmanager"
    absolute = b"/usr/share/prometheus/alertmanager"
    content = program.read_bytes()
    if absolute not in content or not (root / absolute.decode()[1:] / "default.tmpl").exists():
        raise LabError("Debian's Alertmanager does not look for its template where it used to")
    program.write_bytes(content.replace(absolute, b"usr/share/prometheus//alertmanager"))


def _unpack(package: Path, target: Path) -> None:
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as files:
        keep = ["--keep-directory-symlink", "--no-same-owner", "--no-same-permissions", "--exclude=./dev"]
        done = subprocess.run(["tar", "-x", "-C", target, *keep], stdin=files.stdout, capture_output=True, check=False)
    if done.returncode or files.returncode:
        raise LabError(f"{package.name} could not be unpacked: {done.stderr.decode(errors='replace').strip()}")


def _download(work: Path, wanted: tuple[str, ...]) -> list[Path]:
    """Fetch the packages and what they depend on with an apt of its own, which knows no installed package."""
    for folder in ("state/lists/partial", "cache/archives/partial", "etc"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    line = f"deb [signed-by={KEYRING}] {debian.mirror()} {debian.SUITE} main\n"
    (work / "etc/sources.list").write_text(line)
    settings = {
        "Dir::State": work / "state",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "Dir::Etc::sourcelist": work / "etc/sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferencesparts": "-",
        "Debug::NoLocking": "1",
        "APT::Architecture": debian.architecture(),
        "APT::Architectures": debian.architecture(),
        "APT::Sandbox::User": "",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in settings.items())]
    run([*apt, "update"])
    run([*apt, "install", "--yes", "--download-only", *wanted])
    return sorted((work / "cache/archives").glob("*.deb"))


def build_packages() -> Path:
    """The Python packages of Vector's stand-in, as requirements.lock pins them, for Debian 13's Python."""
    lock = _unconditional(pins(LOCK.read_text(), VECTOR_NEEDS))

    def make(target: Path) -> None:
        target.mkdir()
        wanted = target.with_name(f"{target.name}.lock")
        wanted.write_text(lock)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        kind = [
            "--only-binary=:all:",
            "--ignore-requires-python",
            f"--python-version={PYTHON}",
            "--implementation=cp",
            f"--target={target}",
        ]
        try:
            run([*pip, *kind, "--require-hashes", "-r", wanted])
        finally:
            wanted.unlink()

    what = "Python packages for Vector's stand-in"
    return cached("plain-packages", what, [VERSION, PYTHON, debian.architecture(), lock], make)


def _unconditional(lock: str) -> str:
    """The entries for Debian 13's Python, without their conditions: pip judges those by the Python it runs in."""
    taken = []
    for entry in re.split(r"(?<!\\)\n", lock):
        pin, condition, hashes = re.fullmatch(r"([^\s;]*)(?: ; ([^\\]*))?(.*)", entry, re.DOTALL).groups("")  # type: ignore[union-attr]
        if not condition or Marker(condition).evaluate(
            {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0"}
        ):
            taken.append(f"{pin} {hashes.strip()}\n" if pin else "")
    return "".join(taken)


def command(root: Path, program: str, *arguments: str) -> list[str]:
    """How a program of the unpacked packages is started: by its own loader, with its own libraries."""
    triplet = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[debian.architecture()]
    loader = (root / LOADERS[debian.architecture()]).resolve()
    binary = root / program
    return [
        str(loader),
        "--library-path",
        str(root / "usr/lib" / triplet),
        "--argv0",
        str(binary),
        str(binary),
        *arguments,
    ]
