"""The agent on a device: provisions itself once, then delivers telemetry and runs commands.

Its dependencies are the standard library and paho-mqtt. At rest it has to be small: without dataclasses, secrets and
random, which load much for little, and without what only provisioning needs.
"""

from agent import rarely_used as rarely_used  # first, before anything imports these modules

VERSION = "0.1.0"
