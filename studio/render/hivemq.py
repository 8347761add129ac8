"""HiveMQ CE: its config.xml, the File RBAC extension's configuration, and the roles of the accounts.

`hivemq/file-rbac/roles.json` is data for hostctl, which writes credentials.xml from it, the accounts of the manifest
and their hashed passwords; the extension takes a changed credentials.xml over by itself, so roles.json is no reason
to restart the broker.
"""

import xml.etree.ElementTree as ET
from functools import cache
from typing import Any, Final

from studio.bundle import Artifact
from studio.model import Studio
from studio.paths import HOST_EXTENSIONS, HOST_STATE, TEMPLATES
from studio.render.accounts import EXPIRY_SECONDS, MAX_PACKET_BYTES, QUEUED_MESSAGES, accounts
from studio.render.component import Component, loopback, tls_listeners
from studio.render.escape import to_json
from studio.render.quadlet import Container, Secret
from studio.render.templates import static

NAME: Final = "hivemq"
USER: Final = 10000
EXTENSIONS: Final = "/opt/hivemq/extensions"
RBAC: Final = "hivemq-file-rbac-extension"
ROLES: Final = "hivemq/file-rbac/roles.json"
RELOAD_SECONDS: Final = 1
"""The least that the extension takes: a device that the hub provisioned does not wait for its account."""
KEYSTORE_PASSWORD: Final = "TLS_KEYSTORE_PASSWORD"  # noqa: S105 - a variable's name
JAVA_OPTS: Final = "-Xms64m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
"""The quick compiler alone: a start costs half the processor time, and a studio's load needs no more."""

Tree = dict[str, Any]


def _start_timeout(studio: Studio) -> int:
    """Seconds; a Java program takes longer to start than the other parts."""
    return studio.start_timeout_seconds * 3 // 2


def _element(tag: str, content: Any) -> ET.Element:
    """Nested data as XML: a mapping is an element's children, a list repeats its tag, anything else is text."""
    element = ET.Element(tag)
    if isinstance(content, dict):
        for key, value in content.items():
            for item in value if isinstance(value, list) else [value]:
                element.append(_element(key, item))
    else:
        element.text = str(content).lower() if isinstance(content, bool) else str(content)
    return element


def _xml(tag: str, content: Tree) -> Artifact:
    root = _element(tag, content)
    ET.indent(root)
    return Artifact(ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _listeners(studio: Studio) -> Tree:
    plain = {"port": studio.ports.mqtt, "bind-address": "127.0.0.1", "name": "loopback"}
    found = tls_listeners(studio)
    if not found:
        return {"tcp-listener": plain}
    password = f"${{{KEYSTORE_PASSWORD}}}"
    keystore = {"path": "/run/secrets/tls-keystore", "password": password, "private-key-password": password}
    tls = {
        "keystore": keystore,
        "protocols": {"protocol": ["TLSv1.3", "TLSv1.2"]},
        "client-authentication-mode": "NONE",
    }
    network = {"port": found[0].port, "bind-address": found[0].address, "name": "network", "tls": tls}
    return {"tcp-listener": plain, "tls-tcp-listener": network}


def _config(studio: Studio) -> Artifact:
    mqtt = {
        "queued-messages": {"max-queue-size": QUEUED_MESSAGES, "strategy": "discard-oldest"},
        "message-expiry": {"max-interval": EXPIRY_SECONDS},
        "session-expiry": {"max-interval": EXPIRY_SECONDS},
        "packets": {"max-packet-size": MAX_PACKET_BYTES},
    }
    content: Tree = {
        "listeners": _listeners(studio),
        "mqtt": mqtt,
        "restrictions": {"max-connections": 1000, "max-client-id-length": 128, "max-topic-length": 256},
        "security": {"allow-empty-client-id": {"enabled": False}},
        "anonymous-usage-statistics": {"enabled": False},
        # A broker that forgets its sessions leaves Vector connected and silent.
        "persistence": {"mode": "file"},
    }
    return _xml("hivemq", content)


@cache
def _rbac_config() -> Artifact:
    content: Tree = {"credentials-reload-interval": RELOAD_SECONDS, "password-type": "HASHED"}
    return _xml("extension-configuration", content)


def _roles(studio: Studio) -> Artifact:
    roles = [
        {"id": a.name, "permissions": [{"topic": p.topic, "activity": p.activity} for p in a.permissions]}
        for a in accounts(studio)
    ]
    return Artifact.text(to_json({"roles": roles}))


def _container(studio: Studio) -> Container:
    tls = (Secret("tls-keystore", USER), Secret("tls-keystore-password", variable=KEYSTORE_PASSWORD))
    return Container(
        name=NAME,
        title="HiveMQ, the MQTT broker",
        image=studio.images.hivemq,
        config="/opt/hivemq/conf",
        # The image's start script refuses a home folder that it cannot write to.
        read_only=False,
        user=USER,
        health=f"bash -c '</dev/tcp/127.0.0.1/{studio.ports.mqtt}'",
        memory="768M",
        start_timeout=_start_timeout(studio),
        volumes={"hivemq-data": "/opt/hivemq/data", "hivemq-log": "/opt/hivemq/log"},
        # Over the image's whole folder: its extension that lets everybody in must not be there.
        mounts={
            f"{HOST_EXTENSIONS}/hivemq": EXTENSIONS,
            f"{HOST_STATE}/hivemq-rbac": f"{EXTENSIONS}/{RBAC}/conf",
        },
        environment={"JAVA_OPTS": JAVA_OPTS, "HIVEMQ_ALLOW_ALL_CLIENTS": "false", "HIVEMQ_JMX_ENABLED": "false"},
        secrets=tls if studio.network else (),
        # A second one does not start while the first still holds the data folder.
        stop_seconds=30,
    )


def render(studio: Studio) -> Component:
    container = _container(studio)
    files = {
        "hivemq/config.xml": _config(studio),
        "hivemq/logback.xml": Artifact(static(TEMPLATES / "hivemq" / "logback.xml")),
        "hivemq/file-rbac/config.xml": _rbac_config(),
        ROLES: _roles(studio),
    }
    return Component(
        name=NAME,
        order=20,
        start_timeout=_start_timeout(studio),
        files=files,
        live=frozenset({ROLES}),
        container=container,
        image=studio.images.hivemq,
        secrets=tuple(s.name for s in container.secrets if not s.variable),
        # The keystore is made anew with its password, so a new password is a new keystore and restarts the broker.
        variables=tuple(s.name for s in container.secrets if s.variable),
        listens=(loopback(studio.ports.mqtt, "mqtt"), *tls_listeners(studio)),
        facts={
            "extension": {"url": studio.file_rbac.url, "sha256": studio.file_rbac.sha256, "folder": RBAC},
            "stand_in_parts": ["File RBAC extension"] if "standin" in studio.file_rbac.url else [],
        },
    )
