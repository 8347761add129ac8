"""The demo where no host can be booted: the plain studio, its table, until Ctrl-C or `make demo-down`."""

import signal
import sys
import time
from types import FrameType
from typing import Any

import requests
from rich.console import Console
from rich.table import Table

from lab.plain.run import Running, record, running, serve
from lab.run import LabError, say
from studio.model import Studio

DATA_WAIT = 90.0
ENDS = (signal.SIGINT, signal.SIGTERM)


def temperatures(studio: Studio) -> dict[str, float]:
    """The newest temperature of each furnace, °C, as VictoriaMetrics answers it."""
    url = f"http://127.0.0.1:{studio.ports.victoriametrics}/api/v1/query"
    answer = requests.get(url, params={"query": "last_over_time(furnace_furnace_temp[1m])"}, timeout=5)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return {row["metric"]["furnace"]: float(row["value"][1]) for row in found}


def wait_for_data(found: Running) -> None:
    """Return when every furnace has a temperature.

    Raises:
        LabError: they have none in time.
    """
    until = time.monotonic() + DATA_WAIT
    wanted = {furnace.id for furnace in found.studio.furnaces if not furnace.off}
    while not wanted <= temperatures(found.studio).keys():
        time.sleep(0.5)
        if time.monotonic() > until:
            raise LabError(f"no temperature arrives; Vector says:\n{found.processes.said('vector')}")


def show(found: Running) -> None:
    """The table of services with their addresses, and the temperatures."""
    out = Console(width=None if sys.stdout.isatty() else 120)
    table = Table(title="Plain processes on this machine's loopback", title_justify="left", box=None, pad_edge=False)
    for heading in ("service", "version", "process", "address"):
        table.add_column(heading)
    for service in found.services:
        address = (
            f"mqtt://127.0.0.1:{service.port}" if service.health_url is None else f"http://127.0.0.1:{service.port}"
        )
        table.add_row(service.name, service.version, str(found.processes.running[service.name].pid), address)
    recorder = f"http://127.0.0.1:{found.recorder}/lab/records"
    table.add_row("recorded alerts", "stand-in of Grafana IRM", str(found.processes.running["recorder"].pid), recorder)
    out.print(table)
    furnaces = Table(title="Newest temperatures", title_justify="left", box=None, pad_edge=False)
    for heading in ("furnace", "°C", "limits °C"):
        furnaces.add_column(heading)
    heard = temperatures(found.studio)
    for furnace in found.studio.furnaces:
        limits = f"{furnace.low_celsius:.0f} to {furnace.high_celsius:.0f}"
        furnaces.add_row(furnace.title, f"{heard.get(furnace.id, float('nan')):.1f}", limits)
    out.print(furnaces)
    out.print(f"Files and logs: {found.processes.logs.parent}\nStop it: Ctrl-C, or make demo-down", highlight=False)


def _end(_number: int, _frame: FrameType | None) -> None:
    """Stop once, whatever else comes while it clears up."""
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Run it until it is told to end; returns the exit code.

    Raises:
        LabError: it runs already, or cannot be run.
    """
    if record().exists():
        raise LabError("it runs already (or was killed): make demo-down")
    for number in ENDS:
        signal.signal(number, _end)
    try:
        with running() as found:
            wait_for_data(found)
            show(found)
            sys.stdout.flush()
            serve(found)
    except KeyboardInterrupt:
        say("stopped; nothing is left behind")
    return 0
