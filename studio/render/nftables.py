"""The firewall: only the studio's network reaches the TLS listener, by either version of IP."""

import ipaddress
from typing import Final

from studio.bundle import Artifact
from studio.model import Studio
from studio.render.templates import fill

PATH: Final = "nftables/sensor-pipeline.nft"


def render(studio: Studio) -> dict[str, Artifact]:
    family = None
    if studio.network:
        family = "ip" if ipaddress.ip_network(studio.network).version == 4 else "ip6"
    text = fill("nftables/sensor-pipeline.nft", tls_port=studio.ports.mqtt_tls, network=studio.network, family=family)
    return {PATH: Artifact.text(text)}
