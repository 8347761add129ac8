"""The agent on a device: provisions itself once, then delivers telemetry and runs commands.

Its dependencies are the standard library and paho-mqtt.
"""

VERSION = "0.1.0"
