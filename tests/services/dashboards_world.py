"""Every part of a studio on loopback, each with something to say, and what they say in one real VictoriaMetrics.

Furnaces, cameras and plants go through a real broker and the rendered Vector; vmalert and Alertmanager run their
rendered files; the hub has had visitors; node_exporter sees a host with a thermal zone. What VictoriaMetrics' scraper
would do is done here by hand, with times of our own, so that a test need not wait for counters to grow.
"""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import requests
from dashboards_hub import hub, visit
from hub_servers import _unpacked, program
from hub_support import ADMIN
from vector_support import Pipeline, Place, Program, place, running

from dashboards import recorded
from dashboards.queries import SCRAPE_SECONDS
from dashboards.recordings import CATALOGUE
from lab.ports import free_ports
from lab.run import wait_for
from studio.model import Studio, load_studio
from studio.model.services import Ports
from studio.render import alertmanager, victoriametrics, vmalert
from studio.render.component import Component

PAST_SECONDS = 15 * 60
EVERY_SECONDS = 10
WRITTEN_BY_RULES = ('ALERTS{type="shop"}', 'ALERTS{alertstate="firing"}', "furnace_limit_low", "furnace_limit_high")


@dataclass(frozen=True)
class World:
    """What runs, and the moment (epoch seconds) up to which everything is stored and can be asked for."""

    studio: Studio
    at: float = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.studio.ports.victoriametrics}"


def studio() -> Studio:
    """The lab's studio on free ports."""
    ports = Ports(**dict(zip(Ports.model_fields, free_ports(len(Ports.model_fields)), strict=True)))
    return load_studio("lab").model_copy(update={"ports": ports, "network": None})


def _at(there: Place, component: Component, secrets: str) -> list[str]:
    """Put a component's files in its place; its command line with the paths as it sees them."""
    moves = {
        "/etc/": f"{there.seen(there.folder)}/",
        "/run/secrets": secrets,
        "=/alertmanager": f"={secrets}/data",
        # What is recorded each two minutes is recorded each second here.
        f'interval: "{recorded.EVERY_SECONDS}s"': "interval: 1s",
    }

    def moved(text: str) -> str:
        for old, new in moves.items():
            text = text.replace(old, new)
        return text

    for path, artifact in component.files.items():
        target = there.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(moved(artifact.content.decode()))
    assert component.container is not None
    return [moved(word) for word in component.container.command]


@contextmanager
def _alerting(studio: Studio, folder: Path) -> Iterator[None]:
    """vmalert and Alertmanager with their rendered files, out of the lab's images; the webhooks answer nothing."""
    with ExitStack() as stack:
        for component, binary in (
            (alertmanager.render(studio), "/bin/alertmanager"),
            (vmalert.render(studio), vmalert.PROGRAM),
        ):
            there = stack.enter_context(place(component.name))
            for secret in ("irm-shop-url", "irm-system-url", "irm-heartbeat-url"):
                (there.folder / secret).write_text("http://127.0.0.1:9/")
            words = _at(there, component, there.seen(there.folder))
            health = str(component.health_url)
            started = Program(
                there.command(binary, *words),
                lambda url=health: requests.get(url, timeout=2).ok,
                folder / component.name,
            )
            stack.callback(started.start().kill)
        yield


@contextmanager
def _host(folder: Path, port: int) -> Iterator[None]:
    """node_exporter, on a host with a thermal zone as a Raspberry Pi has one, and a sensor as a PC's disk has one."""
    zone = folder / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("51540\n")
    (zone / "policy").write_text("step_wise\n")
    sensor = folder / "sys/class/hwmon/hwmon0"
    sensor.mkdir(parents=True)
    (sensor / "name").write_text("nvme\n")
    (sensor / "temp1_input").write_text("41850\n")
    for name in ("block", "fs", "devices"):
        (folder / "sys" / name).symlink_to(Path("/sys") / name)
    (folder / "sys/class/net").symlink_to("/sys/class/net")
    options = [f"--web.listen-address=127.0.0.1:{port}", f"--path.sysfs={folder}/sys"]
    with program(f"http://127.0.0.1:{port}", "/metrics", _unpacked("prometheus-node-exporter"), *options):
        yield


def _history(pipeline: Pipeline) -> None:
    """A quarter of an hour of the studio's devices, with times of their own; too hot at its end, so that it alerts."""
    now = int(time.time())
    for furnace, base in (("main", 1120.0), ("glory-hole", 2075.0)):
        payloads = []
        for at in range(now - PAST_SECONDS, now, EVERY_SECONDS):
            hot = 400 if at > now - 120 and furnace == "main" else 0
            payloads.append(json.dumps({"furnace_temp": base + at % 7 + hot, "burner": True, "ts": at}))
        pipeline.publish_all(f"furnace/{furnace}/telemetry", payloads)
    _newest(pipeline)
    pipeline.publish("furnace/main/telemetry", "not json")
    pipeline.publish("furnace/nobody/telemetry", "1100")


def _newest(pipeline: Pipeline) -> None:
    """What devices say without a time of their own."""
    for furnace in ("main", "glory-hole"):
        pipeline.publish_all(f"furnace/{furnace}/flame", [f"{3 + n % 5 / 10}" for n in range(40)])
    pipeline.publish("camera/annealer-eye/telemetry", '{"temp_max": 512.5, "temp_min": 480.1, "temp_mean": 501.0}')
    for plant in ("fern", "monstera", "basil"):
        state = {"moisture": 40, "temperature": 22, "light": 300, "battery": 90}
        pipeline.publish(f"plant/{plant}/state", json.dumps(state))


def _refuse_a_batch(pipeline: Pipeline) -> None:
    """VictoriaMetrics away, in its place somebody who refuses what Vector brings: it is dropped, and counted."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(400)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    pipeline.database.stop()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", pipeline.studio.ports.victoriametrics), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        pipeline.publish("furnace/main/telemetry", '{"furnace_temp": 1111}')
        dropped = {"intentional": "false", "component_kind": "sink"}
        wait_for(
            "Vector drops what is refused",
            lambda: pipeline.metric("vector_component_discarded_events_total", **dropped),
        )
    finally:
        server.shutdown()
        server.server_close()
        pipeline.database.start()


def pages(studio: Studio) -> dict[str, str]:
    """What each part says of itself now, by the scraper's job."""
    found = {}
    for job, port in victoriametrics.targets(studio).items():
        headers = ADMIN if job == "hub" else {}
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", headers=headers, timeout=10)
        found[job] = answer.raise_for_status().text
    return found


def store(studio: Studio, said: dict[str, str], at: float) -> None:
    """Give VictoriaMetrics some pages as if its own scraper had fetched them at a time."""
    url = f"http://127.0.0.1:{studio.ports.victoriametrics}/api/v1/import/prometheus"
    for job, port in victoriametrics.targets(studio).items():
        labels = {"studio": studio.name, "job": job, "instance": f"127.0.0.1:{port}"}
        extra = [("extra_label", f"{name}={value}") for name, value in labels.items()]
        params = [("timestamp", str(int(at * 1000))), *extra]
        httpx.post(url, params=params, content=f"{said[job]}\nup 1\n", timeout=30).raise_for_status()


def query(world: World, expr: str) -> list[dict[str, object]]:
    """The series of an instant query."""
    asked = {"query": expr, "time": world.at or time.time(), "nocache": "1"}
    answer = requests.get(f"{world.url}/api/v1/query", params=asked, timeout=20)
    answer.raise_for_status()
    found: list[dict[str, object]] = answer.json()["data"]["result"]
    return found


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """All of it, until the block ends; between the second scrape and the third much has happened."""
    made = studio()
    with (
        running(made, folder) as pipeline,
        _host(folder, made.ports.node_exporter),
        hub(folder / "hub", made.ports.hub, made.ports.mqtt) as admin,
    ):
        _refuse_a_batch(pipeline)
        with _alerting(made, folder):
            visit(admin, pipeline.publish, 1)
            _history(pipeline)
            wait_for("Vector tells of the junk", lambda: pipeline.dead_letters("not_json", "furnace") == 1)
            before = pages(made)
            visit(admin, pipeline.publish, 2)
            pipeline.publish("furnace/main/telemetry", "not json either")
            _newest(pipeline)
            for written in WRITTEN_BY_RULES:
                wait_for(written, lambda expr=written: query(World(made), expr), seconds=90)
            wait_for("Vector tells of more", lambda: pipeline.dead_letters("not_json", "furnace") == 2)
            at, after = time.time(), pages(made)
            for scrapes_ago, said in ((3, before), (2, before), (0, after)):
                store(made, said, at - 1 - scrapes_ago * SCRAPE_SECONDS)
            for name in CATALOGUE:
                wait_for(
                    f"{name} is recorded",
                    lambda name=name: query(World(made), f"last_over_time({name}[10m])"),
                    seconds=90,
                )
            at = time.time()
            store(made, after, at - 1)
            # What is newer, VictoriaMetrics does not show.
            time.sleep(victoriametrics.LATENCY_SECONDS + 1)
            yield World(made, at)
