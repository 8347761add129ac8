"""The cameras of a studio that can be reached, and how."""

from collections.abc import Sequence
from typing import Final

from studio.host import Failed
from studio.model import Studio
from studio.model.equipment import Camera
from studio.model.services import Host

BAD_INPUT: Final = 2
TOPIC: Final = "camera/{id}/telemetry"
"""Where the hub lets the cameras publish that it provisioned."""


def chosen(studio: Studio, names: Sequence[str]) -> tuple[Camera, ...]:
    """The named cameras, or all that have a `host`; Failed (bad input) says what is wrong with names or inventory."""
    reachable = {camera.id: camera for camera in studio.cameras if camera.host}
    known = [camera.id for camera in studio.cameras]
    for name in names:
        if name not in known:
            raise Failed(f"{studio.name} has no camera {name!r}; it has: {', '.join(known) or 'none'}", BAD_INPUT)
        if name not in reachable:
            raise Failed(
                f"{studio.name}: the inventory has no `host:` for the camera {name}: say where it is", BAD_INPUT
            )
    if reachable and studio.network is None:
        raise Failed(f"{studio.name}: cameras reach the host over TLS: give `network:` in the inventory", BAD_INPUT)
    if reachable and not (studio.hub.enabled and studio.hub.tls and studio.hub.provisioning):
        what = "cameras provision themselves at the hub over TLS: give `hub: {tls: true}` in the inventory, and deploy"
        raise Failed(f"{studio.name}: {what}", BAD_INPUT)
    if reachable and studio.topics.camera != TOPIC:
        raise Failed(f"{studio.name}: a camera with the agent sends to {TOPIC}: give topics.camera no other", BAD_INPUT)
    if not reachable:
        raise Failed(
            f"{studio.name}: no camera has a `host:` in the inventory, as in "
            "{id: annealer-eye, host: annealer.local, user: pi}",
            BAD_INPUT,
        )
    return tuple(reachable[name] for name in dict.fromkeys(names)) if names else tuple(reachable.values())


def at(studio: Studio, camera: Camera) -> Studio:
    """The studio as seen from a program that talks to its host, with the camera in the host's place."""
    place = Host(address=camera.host or "", port=camera.port, login=camera.user)
    return studio.model_copy(update={"name": f"{studio.name}, {camera.id}", "host": place})
