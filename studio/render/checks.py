"""What can be said against a bundle without the programs that will read it; their own validators follow on the host."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache

import xmlschema
import yaml

from studio.bundle import Bundle
from studio.paths import TEMPLATES

SCHEMAS = {
    "hivemq/config.xml": "config.xsd",
    "hivemq/file-rbac/config.xml": "file-rbac.xsd",
}


@cache
def _schema(name: str) -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(TEMPLATES / "hivemq" / name)


def _xml(path: str, content: bytes) -> Iterator[str]:
    try:
        root = ET.fromstring(content)  # noqa: S314 - what was rendered here a moment ago
    except ET.ParseError as error:
        yield f"{path}: {error}"
        return
    if path in SCHEMAS:
        yield from (f"{path}: {fault.path}: {fault.reason}" for fault in _schema(SCHEMAS[path]).iter_errors(root))


def _yaml(path: str, content: bytes) -> Iterator[str]:
    try:
        yaml.load(content, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        yield f"{path}: {error}"


def problems(bundle: Bundle) -> list[str]:
    """Every problem as one line that begins with the file's path; an empty list when there is none."""
    found: list[str] = []
    for path, artifact in sorted(bundle.files.items()):
        if path.endswith(".xml"):
            found += _xml(path, artifact.content)
        elif path.endswith((".yml", ".yaml")):
            found += _yaml(path, artifact.content)
    return found
