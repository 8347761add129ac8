"""paho-mqtt, without loading an HTTP client that only MQTT over WebSockets needs.

That is a tenth of an idle agent's memory, and half a second of a Raspberry Pi Zero's start.
"""

import importlib
import sys
import types
from typing import Any


def _when_used(package: str, name: str) -> None:
    """Let PACKAGE.NAME be imported for nothing, and loaded once something in it is asked for."""
    whole = f"{package}.{name}"
    if whole in sys.modules:
        return
    stand_by = types.ModuleType(whole)

    def load(wanted: str) -> Any:
        if wanted.startswith("__"):
            raise AttributeError(wanted)
        if sys.modules.get(whole) is stand_by:
            del sys.modules[whole]
        return getattr(importlib.import_module(whole), wanted)

    vars(stand_by)["__getattr__"] = load
    sys.modules[whole] = stand_by
    setattr(importlib.import_module(package), name, stand_by)


_when_used("urllib", "request")

import paho.mqtt.client as paho  # noqa: E402
from paho.mqtt.enums import CallbackAPIVersion  # noqa: E402

__all__ = ["CallbackAPIVersion", "paho"]
