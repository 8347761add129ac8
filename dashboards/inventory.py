"""How a panel names a device of the inventory, and a query matches it."""

from dashboards.recorded import STUDIO
from studio.model import Furnace


def label(device: str) -> str:
    """The placeholder for a device's name for people, which may hold anything: it is filled in with its quoting."""
    return f"<<label {device}>>"


def of(furnace: Furnace) -> str:
    """What a furnace's series match. An id has nothing in it that PromQL or JSON would have to quote."""
    return f'{STUDIO},furnace="{furnace.id}"'
