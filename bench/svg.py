"""A picture of rectangles, lines and texts, as SVG."""

from html import escape

Box = tuple[float, float, float, float]
Points = list[tuple[float, float]]


class Svg:
    """A growing picture on Grafana's dark ground."""

    def __init__(self, width: float, height: float) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'font-family="Inter,Helvetica,Arial,sans-serif"><rect width="{width}" height="{height}" fill="#111217"/>'
        ]

    def rect(self, box: Box, fill: str) -> None:
        x, y, width, height = box
        self._parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"/>')

    def text(  # noqa: PLR0913 - what a text is, each by its name
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 11,
        fill: str = "#ccccdc",
        weight: str = "normal",
        anchor: str = "start",
    ) -> None:
        place = f'x="{x:.0f}" y="{y:.0f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
        self._parts.append(f'<text {place} fill="{fill}">{escape(text)}</text>')

    def line(self, points: Points, colour: str, *, dashed: bool = False, width: float = 1.2) -> None:
        text = " ".join(f"{x:.0f},{y:.1f}" for x, y in points)
        dash = ' stroke-dasharray="6 5"' if dashed else ""
        self._parts.append(f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>')

    def done(self) -> str:
        return "\n".join([*self._parts, "</svg>", ""])
