"""What every test on the lab host can ask for."""

from hub_host import changing, hub
from studio_fixtures import studio, studio_snapshot

__all__ = ["changing", "hub", "studio", "studio_snapshot"]
