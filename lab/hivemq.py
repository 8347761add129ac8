"""HiveMQ CE from Maven Central, and the extensions that the lab compiles for it against the official SDK."""

import shutil
import zipfile
from pathlib import Path

from lab.cache import cached, remove, show
from lab.paths import LAB, archive_dir
from lab.run import run

VERSION = "1"
POM = LAB / "java/pom.xml"
ALLOW_ALL = LAB / "java/allow-all"
FILE_RBAC = LAB / "standins/hivemq-file-rbac"
FILE_RBAC_ARCHIVE = "hivemq-file-rbac-extension-standin.zip"


def build_libraries() -> Path:
    """A folder with the jars of HiveMQ CE's embedded edition and all it depends on."""

    def make(target: Path) -> None:
        work = target.with_name(f"{target.name}-maven")
        remove(work)
        work.mkdir(parents=True)
        shutil.copy(POM, work / "pom.xml")
        goal = "dependency:copy-dependencies"
        run(["mvn", "--quiet", "--batch-mode", "--strict-checksums", goal, f"-DoutputDirectory={target}"], cwd=work)
        remove(work)

    return cached("hivemq-jars", "HiveMQ CE from Maven Central", [VERSION, POM], make)


def build_home() -> Path:
    """What lies over Debian's Java in HiveMQ's image: `opt/hivemq` with its jars and the allow-all extension."""
    jars, allow_all = build_libraries(), build_extension(ALLOW_ALL, "hivemq-allow-all-extension")

    def make(target: Path) -> None:
        home = target / "opt/hivemq"
        shutil.copytree(jars, home / "lib")
        shutil.copytree(allow_all, home / "extensions")

    return cached("hivemq-home", "HiveMQ's folder", [VERSION, jars.name, allow_all.name], make)


def build_extension(source: Path, name: str) -> Path:
    """A folder that holds the extension as folder `name`: hivemq-extension.xml, its jar, its `conf` if it has one."""
    jars = build_libraries()

    def make(target: Path) -> None:
        folder = target / name
        classes = target / "classes"
        classes.mkdir(parents=True)
        folder.mkdir()
        sources = sorted(source.rglob("*.java"))
        run(
            [
                "javac",
                "--release",
                "17",
                "-Xlint:all",
                "-proc:none",
                "-cp",
                f"{jars}/*",
                "-d",
                classes,
                *sources,
            ]
        )
        shutil.copytree(source / "META-INF", classes / "META-INF")
        _zip(folder / f"{name}.jar", classes)
        shutil.rmtree(classes)
        shutil.copy(source / "hivemq-extension.xml", folder)
        if (source / "conf").is_dir():
            shutil.copytree(source / "conf", folder / "conf")

    return cached("extension", f"extension {name}", [VERSION, source, jars.name, name], make)


def build_file_rbac() -> Path:
    """The stand-in of the File RBAC extension, as a release archive; in the guest under `/var/lib/lab/archive`."""
    extension = build_extension(FILE_RBAC, "hivemq-file-rbac-extension")
    archive = cached("archive", FILE_RBAC_ARCHIVE, [VERSION, extension.name], lambda target: _zip(target, extension))
    shown = archive_dir() / FILE_RBAC_ARCHIVE
    show(archive, shown)
    return shown


def _zip(target: Path, tree: Path) -> None:
    """Zip a folder's content, the same content always to the same bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in tree.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(str(path.relative_to(tree)), (2025, 6, 15, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
