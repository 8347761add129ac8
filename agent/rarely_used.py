"""Modules of the standard library that others import and hardly ever use: loaded when something in them is asked for.

An idle agent is a megabyte smaller without them, and a Raspberry Pi Zero starts it sooner.
"""

import importlib
import sys
import types
from typing import Any

MODULES = (
    "base64",  # paho: over WebSockets; ssl: certificates in another form
    "hashlib",  # paho: over WebSockets
    "ipaddress",  # urllib.parse: addresses in brackets
    "traceback",  # logging: exceptions
    "urllib.request",  # paho: over WebSockets
    "uuid",  # paho: clients without an id
)


def stand_by(name: str) -> None:
    """Let the module be imported for nothing, and loaded once something in it is asked for."""
    if name in sys.modules:
        return
    stand_in = types.ModuleType(name)

    def load(wanted: str) -> Any:
        if wanted.startswith("__"):
            raise AttributeError(wanted)
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(importlib.import_module(name), wanted)

    vars(stand_in)["__getattr__"] = load
    sys.modules[name] = stand_in
    package, _, last = name.rpartition(".")
    if package:
        setattr(importlib.import_module(package), last, stand_in)


for module in MODULES:
    stand_by(module)
