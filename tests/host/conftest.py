"""What every test on the lab host can ask for."""

from studio_fixtures import studio, studio_snapshot

__all__ = ["studio", "studio_snapshot"]
