"""What a deploy needs before it talks to a camera: the studio, and the agent's package with the studio's authority."""

from dataclasses import dataclass
from functools import cache

from studio.bundle import Bundle
from studio.devices.hub import authority
from studio.devices.package import package
from studio.devices.plan import Wanted
from studio.host import Failed
from studio.model import Studio, load_studio
from studio.model.equipment import Camera


@dataclass(frozen=True)
class Release:
    studio: Studio
    bundle: Bundle

    def wanted(self, camera: Camera, seen_from: str) -> Wanted:
        """What ought to be on a camera; `seen_from`: the address from which the log-in to it came.

        A deploy from the studio's own host is told by it how the camera sees that host. Raises Failed when that is an
        address at which the studio does not listen.
        """
        network, local = self.studio.network or "", self.studio.host.is_local
        if local and (":" in seen_from) != (":" in network):
            told = f"it was reached from {seen_from}, but the studio is there for {network} alone"
            raise Failed(f"{self.studio.name}, {camera.id}: {told}: give an address of that network as its `host:`")
        address = seen_from if local else self.studio.host.address
        return Wanted(self.studio, camera, self.bundle.generation, address)


@cache
def release(name: str) -> Release:
    """Raises InventoryError, Unreachable or Failed."""
    studio = load_studio(name)
    return Release(studio, package(authority(studio)))
