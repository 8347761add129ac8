"""Mosquitto, the other broker: its configuration and access list.

hostctl writes the passwords, as hashes, and the access list, with the rights of devices that the hub provisioned; the
broker takes both over while it runs.
"""

from typing import Final

from studio.bundle import Artifact
from studio.model import Studio
from studio.paths import HOST_STATE
from studio.render.accounts import EXPIRY_SECONDS, MAX_PACKET_BYTES, QUEUED_MESSAGES, accounts
from studio.render.component import Component, loopback, tls_listeners
from studio.render.quadlet import Container, Secret
from studio.render.templates import fill

NAME: Final = "mosquitto"
USER: Final = 1883
CONFIG: Final = "/mosquitto/config"
ACL: Final = "mosquitto/acl"


def render(studio: Studio) -> Component:
    config = fill(
        "mosquitto/mosquitto.conf",
        port=studio.ports.mqtt,
        tls_listeners=tls_listeners(studio),
        queued_messages=QUEUED_MESSAGES,
        max_packet_bytes=MAX_PACKET_BYTES,
        expiry_days=EXPIRY_SECONDS // 86400,
    )
    acl = fill("mosquitto/acl", accounts=accounts(studio))
    secrets = (Secret("tls-cert", USER), Secret("tls-key", USER)) if studio.network else ()
    tls = tls_listeners(studio)
    container = Container(
        name=NAME,
        title="Mosquitto, the MQTT broker",
        image=studio.images.mosquitto,
        config=CONFIG,
        # The image's own entry point only changes owners, which it may not do here and need not.
        entrypoint="/usr/sbin/mosquitto",
        command=("-c", f"{CONFIG}/mosquitto.conf"),
        user=USER,
        # Not every busybox knows nc -z; with nothing to send, Mosquitto hangs up.
        health=f"nc -w 4 127.0.0.1 {studio.ports.mqtt} </dev/null",
        memory="256M",
        start_timeout=studio.start_timeout_seconds,
        volumes={"mosquitto-data": "/mosquitto/data"},
        # The image declares a volume here, which would be a new one at every start.
        tmpfs=("/mosquitto/log",),
        mounts={f"{HOST_STATE}/mosquitto": "/mosquitto/state"},
        secrets=secrets,
    )
    return Component(
        name=NAME,
        order=20,
        start_timeout=studio.start_timeout_seconds,
        files={"mosquitto/mosquitto.conf": Artifact.text(config), ACL: Artifact.text(acl)},
        live=frozenset({ACL}),
        container=container,
        image=studio.images.mosquitto,
        secrets=tuple(secret.name for secret in secrets),
        listens=(loopback(studio.ports.mqtt, "mqtt"), *tls),
    )
