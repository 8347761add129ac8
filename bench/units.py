"""Values as Grafana writes them."""

from collections.abc import Callable, Sequence
from typing import Final


def _scaled(value: float, units: Sequence[str], base: float) -> str:
    number = 0
    while abs(value) >= base and number < len(units) - 1:
        value, number = value / base, number + 1
    return f"{value:.3g} {units[number]}".strip()


def _seconds(value: float) -> str:
    for length, name in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"), (0.001, "ms")):
        if abs(value) >= length:
            return f"{value / length:.3g} {name}"
    return f"{value * 1e6:.3g} µs"


def _bytes(value: float) -> str:
    return _scaled(value, ("B", "KiB", "MiB", "GiB", "TiB"), 1024)


def _plain(value: float) -> str:
    return _scaled(value, ("", "K", "Mil", "Bil"), 1000)


def _whole(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


WRITTEN: Final[dict[str, Callable[[float], str]]] = {
    "bool_on_off": lambda value: "On" if value else "Off",
    "percentunit": lambda value: f"{value * 100:.3g} %",
    "bytes": _bytes,
    "Bps": lambda value: f"{_bytes(value)}/s",
    "s": _seconds,
    "celsius": lambda value: f"{_whole(value)} °C",
    "volt": lambda value: f"{_whole(value)} V",
    "percent": lambda value: f"{_whole(value)} %",
    "lux": lambda value: f"{_whole(value)} lx",
    "ms": lambda value: f"{_whole(value)} ms",
    "ops": lambda value: f"{_plain(value)} ops/s",
    "cps": lambda value: f"{_plain(value)} c/s",
    "reqps": lambda value: f"{_plain(value)} req/s",
}


def shown(value: float, unit: str) -> str:
    """A value in its unit, as short as Grafana writes it."""
    return WRITTEN.get(unit, _plain)(value)
