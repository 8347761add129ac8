"""The agent on a studio's cameras: what goes there, what is there, and what the hub must do for it."""

from studio.devices.cameras import at, chosen

__all__ = ["at", "chosen"]
