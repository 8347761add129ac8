"""The studio model: a validated inventory file."""

from studio.model.equipment import Camera, Device, Furnace, Plant, Topics
from studio.model.errors import InventoryError, Problem
from studio.model.loader import load_studio
from studio.model.studio import DeviceKind, Studio

__all__ = [
    "Camera",
    "Device",
    "DeviceKind",
    "Furnace",
    "InventoryError",
    "Plant",
    "Problem",
    "Studio",
    "Topics",
    "load_studio",
]
