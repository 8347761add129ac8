"""Build the component images: Debian's packages unpacked, and folders of files over them."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import debian, hivemq, oci, python_env
from lab.cache import Input, cached, prune, remove, show
from lab.catalogue import IMAGES, Image
from lab.paths import LAB, images_dir
from lab.run import run

VERSION = "1"
# base-files has the link /lib64, without which nothing starts; dash is /bin/sh, which every health command needs
COMMON = ["base-files", "libc6", "dash", "busybox", "ca-certificates"]
UNWANTED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "usr/share/lintian",
    "var/lib",
    "var/cache",
    "dev",
)
VECTOR_NEEDS = ("vector-vrl", "paho-mqtt", "pyyaml", "prometheus-client")
VECTOR_PROGRAM = LAB / "standins/vector"


def build_images(base: Path) -> None:
    """Build (or find) every component's archive, show them under `images_dir()`, and remove older ones."""
    used: set[Path] = set()
    for component, image in IMAGES.items():
        layers = [debian_layer(image.packages), *_file_layers(component, image, base)]
        archive = _archive(component, image, layers)
        show(archive, images_dir() / f"{component}.tar")
        prune(f"image-{component}", [archive])
        used.update(layers)
    prune("layer", used)


def _archive(component: str, image: Image, layers: Sequence[Path]) -> Path:
    inputs: list[Input] = [
        VERSION,
        image.reference,
        repr(image.config),
        LAB / "oci.py",
        *(layer.name for layer in layers),
    ]

    def make(target: Path) -> None:
        oci.write_archive(target, image.reference, layers, image.config, debian.architecture())

    return cached(f"image-{component}", f"image {image.reference}", inputs, make)


def debian_layer(packages: tuple[str, ...]) -> Path:
    """The tar of these packages and what they depend on, unpacked without their scripts."""
    include = [*COMMON, *packages]

    def make(target: Path) -> None:
        root = target.with_name(f"{target.name}-root")
        remove(root)
        debian.mmdebstrap(root, include, variant="extract")
        for unwanted in UNWANTED:
            shutil.rmtree(root / unwanted, ignore_errors=True)
        run(["tar", "--sort=name", f"--mtime=@{oci.EPOCH}", "--numeric-owner", "-cf", target, "-C", root, "."])
        remove(root)

    what = f"layer of {', '.join(packages)}"
    inputs: list[Input] = [VERSION, debian.SUITE, debian.architecture(), *include, "|", *UNWANTED]
    return cached("layer", what, inputs, make)


def _file_layers(component: str, image: Image, base: Path) -> list[Path]:
    """What is over Debian's packages: files of the repository, and for some images what was made for them."""
    layers = [_tree_layer(LAB / "images" / name) for name in image.files]
    if component == "hivemq":
        layers.append(_tree_layer(hivemq.build_home()))
    if component == "vector":
        packages = python_env.build_packages(base, VECTOR_NEEDS, "Vector's stand-in")
        layers.append(_tree_layer(packages, "usr/local/lib/vector-standin"))
        layers.append(_tree_layer(VECTOR_PROGRAM, "usr/local/lib/vector-standin"))
    if component == "python":
        layers.append(_tree_layer(python_env.build_wheels(base), "opt"))
    return [*layers, _tree_layer(LAB / "images/common", folders=image.folders)]


def _tree_layer(tree: Path, at: str = "", folders: Mapping[str, int] | None = None) -> Path:
    # what is in the cache already is named by its content
    content: Input = tree.name if tree.parent.name == "cache" else tree
    inputs = [VERSION, content, at, repr(folders), LAB / "oci.py"]
    return cached("layer", f"layer of {tree.name}", inputs, lambda target: oci.write_layer(target, tree, at, folders))
