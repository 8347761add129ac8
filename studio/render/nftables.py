"""The firewall: only the studio's network reaches the TLS listeners, by either version of IP."""

import ipaddress
from typing import Final

from studio.bundle import Artifact
from studio.model import Studio
from studio.render import hub
from studio.render.templates import fill

PATH: Final = "nftables/sensor-pipeline.nft"


def render(studio: Studio) -> dict[str, Artifact]:
    family = None
    if studio.network:
        family = "ip" if ipaddress.ip_network(studio.network).version == 4 else "ip6"
    ports = sorted([studio.ports.mqtt_tls, *(x.port for x in hub.tls_listeners(studio))])
    listed = str(ports[0]) if len(ports) == 1 else f"{{ {', '.join(map(str, ports))} }}"
    text = fill("nftables/sensor-pipeline.nft", tls_ports=listed, network=studio.network, family=family)
    return {PATH: Artifact.text(text)}
