"""The hub: one service for a studio's devices. Enrolment, heartbeats, runs, provisioning, and a live page."""

from typing import Final

VERSION: Final = "0.1.0"
