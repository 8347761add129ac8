"""`python -m bench.dashboards_draw [FOLDER]`: every dashboard as a picture, drawn from VictoriaMetrics' answers.

No Grafana draws them: the panels, their places, units, colours and queries are the dashboards', the drawing is ours.
The data are a made day of the lab's studio, see dashboards_history.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench import dashboards_history as history
from bench.dashboards import ask, dashboards, storage
from bench.dashboards_svg import figure, graph, heatmap
from bench.dashboards_write import write
from bench.svg import Svg
from dashboards.queries import Target
from studio.paths import ROOT

SHOWN_SECONDS: Final = 86_400
COLUMN, LINE, TOP = 50, 30, 44


def legend(series: dict[str, Any], target: dict[str, Any]) -> str:
    """A series' name as Grafana makes it of `legendFormat`."""
    text = str(target["legendFormat"])
    if text == "__auto":
        text = ", ".join(str(value) for name, value in series["metric"].items() if name != "__name__")
    for name, value in series["metric"].items():
        text = text.replace(f"{{{{{name}}}}}", str(value))
    return text


def panel_data(url: str, panel: dict[str, Any], end: float) -> list[tuple[str, str, list[tuple[float, float]]]]:
    """Of every series of a panel: its target's letter, its name, its points."""
    found = []
    for target in panel["targets"]:
        asked = Target("", panel["title"], target["refId"], target["expr"], bool(target.get("instant")))
        for series in ask(url, asked, end, SHOWN_SECONDS, cold=True):
            pairs = series.get("values") or [series["value"]]
            points = [(float(at), float(value)) for at, value in pairs]
            found.append((target["refId"], legend(series, target), points))
    return found


def picture(url: str, dashboard: dict[str, Any], end: float) -> str:
    """A dashboard as SVG."""
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in dashboard["panels"]) * LINE + TOP + 10
    svg = Svg(24 * COLUMN, height)
    svg.text(12, 28, dashboard["title"], size=20, weight="bold")
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        x, y = place["x"] * COLUMN, place["y"] * LINE + TOP
        width, tall = place["w"] * COLUMN - 6, place["h"] * LINE - 6
        if panel["type"] == "row":
            svg.text(x + 12, y + 18, panel["title"], size=14, weight="bold")
            continue
        data = panel_data(url, panel, end)
        draw = {"stat": figure, "timeseries": graph, "heatmap": heatmap}[panel["type"]]
        draw(svg, (x + 3, y + 3, width, tall), panel, data, (end - SHOWN_SECONDS, end))
    return svg.done()


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/dashboards"
    folder.mkdir(parents=True, exist_ok=True)
    last = int(time.time()) // history.DAY * history.DAY
    with tempfile.TemporaryDirectory(prefix="draw-dashboards-") as data, storage(Path(data)) as url:
        write(url, last - 3 * history.DAY, 3)
        for name, dashboard in dashboards().items():
            # Four in the afternoon: a busy hour.
            drawn = picture(url, dashboard, last - 8 * 3600)
            target = folder / f"{name}.svg"
            target.write_text(drawn)
            print(f"{target}: {len(drawn) // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
