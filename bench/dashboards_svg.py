"""Panels as SVG: figures, graphs, heat maps, with Grafana's units and thresholds."""

import math
from collections.abc import Sequence
from typing import Any, Final

from bench.svg import Box, Points, Svg
from bench.units import shown

Data = Sequence[tuple[str, str, Points]]
COLOURS: Final = ("#73BF69", "#F2CC0C", "#5794F2", "#FF9830", "#F2495C", "#B877D9", "#8AB8FF", "#96D98D", "#FFB357")
NAMED: Final = {"green": "#73BF69", "red": "#F2495C", "orange": "#FF9830", "blue": "#5794F2"}
POINTS: Final = 160
LETTER: Final = 5.8


def _frame(svg: Svg, box: Box, panel: dict[str, Any]) -> Box:
    """The panel's ground and title; what is left for its content."""
    x, y, width, height = box
    svg.rect(box, "#181b1f")
    svg.text(x + 8, y + 17, panel["title"], size=12, weight="bold")
    return x + 8, y + 26, width - 16, height - 34


def _steps(panel: dict[str, Any]) -> list[tuple[float, str]]:
    listed = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return [(-math.inf if s["value"] is None else s["value"], NAMED[s["color"]]) for s in listed]


def _unit(panel: dict[str, Any]) -> str:
    return str(panel["fieldConfig"]["defaults"]["unit"])


def figure(svg: Svg, box: Box, panel: dict[str, Any], data: Data, _range: tuple[float, float]) -> None:
    """A value in the colour of its threshold."""
    x, y, width, height = _frame(svg, box, panel)
    if not data:
        text, colour = str(panel["fieldConfig"]["defaults"]["noValue"]), "#ccccdc"
    else:
        value = data[0][2][-1][1]
        text, colour = shown(value, _unit(panel)), [c for bound, c in _steps(panel) if value >= bound][-1]
    svg.text(x + width / 2, y + height / 2 + 14, text, size=30, fill=colour, weight="bold", anchor="middle")


def _thinned(points: Points, most: int) -> Points:
    """Few enough points for a picture: the least and the most of each stretch, in their order."""
    points = [(at, value) for at, value in points if math.isfinite(value)]
    if len(points) <= most:
        return points
    size = -(-2 * len(points) // most)
    groups = [points[n : n + size] for n in range(0, len(points), size)]
    kept = [sorted({min(g, key=lambda p: p[1]), max(g, key=lambda p: p[1])}) for g in groups]
    return [point for group in kept for point in group]


def graph(svg: Svg, box: Box, panel: dict[str, Any], data: Data, span: tuple[float, float]) -> None:
    """Lines over time, thresholds as dashed lines, as many names below as there is room for."""
    x, y, width, height = _frame(svg, box, panel)
    most = min(POINTS, 4 * POINTS // max(1, len(data)))
    thinned = [(ref, name, _thinned(points, most)) for ref, name, points in data]
    values = [value for _, _, points in thinned for _, value in points]
    if not values:
        none = str(panel["fieldConfig"]["defaults"]["noValue"])
        svg.text(x + width / 2, y + height / 2, none, size=14, anchor="middle")
        return
    low, high = min(values), max(values)
    drawn = panel["fieldConfig"]["defaults"].get("custom", {}).get("thresholdsStyle", {}).get("mode") == "dashed"
    bounds = [(bound, colour) for bound, colour in _steps(panel) if drawn and math.isfinite(bound)]
    if "min" in panel["fieldConfig"]["defaults"]:
        low = min(low, 0.0)
    low, high = min([low, *(b for b, _ in bounds)]), max([high, *(b for b, _ in bounds)])
    if high == low:
        high = low + (abs(low) or 1)
    left, bottom = 74, 34
    plot = (x + left, y + 4, width - left, height - bottom - 4)

    def place(at: float, value: float) -> tuple[float, float]:
        across = (at - span[0]) / (span[1] - span[0])
        return plot[0] + across * plot[2], plot[1] + (1 - (value - low) / (high - low)) * plot[3]

    for share in (0.0, 0.5, 1.0):
        value = low + share * (high - low)
        level = place(span[0], value)[1]
        svg.line([(plot[0], level), (plot[0] + plot[2], level)], "#2c3235", width=1)
        svg.text(plot[0] - 6, level + 4, shown(value, _unit(panel)), size=10, anchor="end", fill="#8e8e9a")
    for hours in range(0, 25, 6):
        at = span[0] + hours * 3600
        clock, anchor = f"{(16 + hours) % 24:02d}:00", "end" if hours == 24 else "middle"
        svg.text(place(at, low)[0], y + height - 18, clock, size=10, anchor=anchor, fill="#8e8e9a")
    for bound, colour in bounds:
        svg.line([place(span[0], bound), place(span[1], bound)], colour, dashed=True)
    limits = _limits(panel)
    names: list[tuple[str, str]] = []
    for number, (ref, name, points) in enumerate(thinned):
        colour = limits.get(ref) or COLOURS[number % len(COLOURS)]
        svg.line([place(at, value) for at, value in points], colour, dashed=ref in limits)
        names.append((name, colour))
    _legend(svg, x, y + height, width, names)


def _legend(svg: Svg, x: float, y: float, width: float, names: Sequence[tuple[str, str]]) -> None:
    """The series' names in a row, and how many more there are than fit."""
    at = x
    for number, (name, colour) in enumerate(names):
        left, needed = len(names) - number - 1, 24 + len(name) * LETTER
        if at + needed + (9 * LETTER if left else 0) > x + width:
            svg.text(at, y + 2, f"+ {left + 1} more", size=10)
            return
        svg.line([(at, y - 2), (at + 10, y - 2)], colour, width=3)
        svg.text(at + 14, y + 2, name, size=10)
        at += needed


def _limits(panel: dict[str, Any]) -> dict[str, str]:
    """Targets that are limits, with their colour."""
    found: dict[str, str] = {}
    for override in panel["fieldConfig"]["overrides"]:
        colours = [NAMED[p["value"]["fixedColor"]] for p in override["properties"] if p["id"] == "color"]
        found.update({override["matcher"]["options"]: colours[0]} if colours else {})
    return found


def heatmap(svg: Svg, box: Box, panel: dict[str, Any], data: Data, span: tuple[float, float]) -> None:
    """Buckets over time: the more, the brighter. The series are cumulative, one for each `le`."""
    x, y, width, height = _frame(svg, box, panel)
    edges = sorted(((float(name), points) for _, name, points in data), key=lambda entry: entry[0])
    cells: dict[tuple[int, int], float] = {}
    below: dict[int, float] = {}
    columns = 48
    for row, (_, points) in enumerate(edges):
        sums: dict[int, float] = {}
        for at, value in points:
            column = min(columns - 1, int((at - span[0]) / (span[1] - span[0]) * columns))
            sums[column] = sums.get(column, 0.0) + (value if math.isfinite(value) else 0.0)
        cells |= {(column, row): total - below.get(column, 0.0) for column, total in sums.items()}
        below = sums
    most = max(cells.values(), default=0) or 1
    wide, tall = (width - 60) / columns, (height - 16) / max(1, len(edges))
    for (column, row), count in cells.items():
        if count > 0:
            light = 25 + 45 * math.sqrt(count / most)
            place = (x + 60 + column * wide, y + (len(edges) - 1 - row) * tall, wide, tall)
            svg.rect(place, f"hsl(28,85%,{light:.0f}%)")
    for row, (edge, _) in enumerate(edges):
        label = "more" if math.isinf(edge) else shown(edge, _unit(panel))
        svg.text(x + 54, y + (len(edges) - row - 0.3) * tall, label, size=9, anchor="end", fill="#8e8e9a")
    for hours in range(0, 25, 6):
        clock, anchor = f"{(16 + hours) % 24:02d}:00", "end" if hours == 24 else "middle"
        svg.text(x + 60 + hours / 24 * (width - 60), y + height, clock, size=10, anchor=anchor, fill="#8e8e9a")
