"""The stack around a hub, for real: VictoriaMetrics with a day of temperatures, Alertmanager with alerts."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from hub_servers import _unpacked, program

from lab.ports import free_port


@contextlib.contextmanager
def victoriametrics(folder: Path) -> Iterator[str]:
    port = free_port()
    args = [f"-storageDataPath={folder}/vm", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=1"]
    with program(f"http://127.0.0.1:{port}", "/health", _unpacked("victoria-metrics"), *args) as url:
        yield url


@contextlib.contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    port, config = free_port(), folder / "alertmanager.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    args = [f"--config.file={config}", f"--storage.path={folder}/am", f"--web.listen-address=127.0.0.1:{port}"]
    binary = _unpacked("prometheus-alertmanager")
    # Debian's build reads its templates from /usr/share only: it gets the package's, in a mount namespace of its own.
    share = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /usr/share && exec "$@"', binary.parents[1] / "share"]
    with program(f"http://127.0.0.1:{port}", "/-/healthy", *share, binary, *args, "--cluster.listen-address=") as url:
        yield url


class StackPart:
    """A part of the stack that answers every request with `status` and counts them."""

    def __init__(self) -> None:
        self.status, self.asked, self.url = 200, 0, ""


@contextlib.contextmanager
def stack_part() -> Iterator[StackPart]:
    part = StackPart()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            part.asked += 1
            self.send_response(part.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        part.url = f"http://127.0.0.1:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield part
        finally:
            server.shutdown()
            serving.join()


def furnace_day(url: str, furnace: str, low: float, silent: int = 0) -> None:
    """A day of temperatures, one each 5 minutes, up to so many seconds ago."""
    now = int(time.time()) - silent
    lines = [
        f'furnace_furnace_temp{{studio="rosewood",furnace="{furnace}"}} {low + (n % 40)} {(now - n * 300) * 1000}'
        for n in range(288)
    ]
    httpx.post(f"{url}/api/v1/import/prometheus", content="\n".join(lines), timeout=60).raise_for_status()


def furnace_now(url: str, furnace: str, value: float) -> None:
    """One sample, of this moment."""
    line = f'furnace_furnace_temp{{studio="rosewood",furnace="{furnace}"}} {value} {int(time.time() * 1000)}'
    httpx.post(f"{url}/api/v1/import/prometheus", content=line, timeout=60).raise_for_status()


def fire_alert(url: str, name: str, summary: str, **labels: str) -> None:
    about = {"alertname": name, "severity": "critical", "type": "shop", "studio": "rosewood", **labels}
    alert = {"labels": about, "annotations": {"summary": summary}}
    httpx.post(f"{url}/api/v2/alerts", json=[alert], timeout=60).raise_for_status()


def write_page_config(folder: Path) -> Path:
    file = folder / "page.json"
    furnaces = [
        {"id": "main", "label": "Main furnace", "low": 1050, "high": 1180},
        {"id": "hole", "label": "Glory hole"},
    ]
    file.write_text(json.dumps({"title": "Rosewood Glass", "studio": "rosewood", "furnaces": furnaces}))
    return file
