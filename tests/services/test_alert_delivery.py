"""A delivery that fails is itself noticed: by the real vmalert and Alertmanager as they are rendered, only quicker.

With the product's own durations it takes a quarter of an hour: docs/alerts.md has what was measured.
"""

import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
import requests
import yaml
from alertmanager_support import Alertmanager, every_rule, recorder, running, told

from lab.plain import parts
from lab.ports import free_ports
from lab.run import wait_for

pytestmark = pytest.mark.services
QUICKER = 15
# Alertmanager gives no attempt less than ten seconds, however short its intervals are.
WINDOW_QUICKER = 6
Trouble = Callable[[int, Path], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def root() -> Path:
    return parts.build_root()


def quicker(text: str, pattern: str, factor: int = QUICKER) -> str:
    """A configuration with its durations (what comes after the pattern) shorter by a factor, a second at least."""

    def shorter(match: re.Match[str]) -> str:
        seconds = int(match[2]) * {"s": 1, "m": 60, "h": 3600}[match[3]]
        return f"{match[1]}{max(1, round(seconds / factor))}s"

    return re.sub(rf"({pattern})(\d+)([smh])\b", shorter, text)


@contextmanager
def pipeline(root: Path, folder: Path, alertmanager: Alertmanager) -> Iterator[None]:
    """VictoriaMetrics that scrapes Alertmanager each second, and vmalert with three rules, everything quicker."""
    storage, judge = free_ports(2)
    kept = [r for r in every_rule() if r["alert"] in {"DeliveryFailing", "Watchdog"}]
    trouble = {"alert": "Trouble", "expr": "vector(1)", "labels": {"type": "shop", "severity": "critical"}}
    text = yaml.safe_dump({"groups": [{"name": "quicker", "interval": "1s", "rules": [*kept, trouble]}]})
    (folder / "rules.yml").write_text(quicker(quicker(text, "for: "), r"\[", WINDOW_QUICKER))
    scraped = {"job_name": "alertmanager", "static_configs": [{"targets": [f"127.0.0.1:{alertmanager.port}"]}]}
    (folder / "scrape.yml").write_text(
        yaml.safe_dump({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [scraped]})
    )
    url = f"http://127.0.0.1:{storage}"
    stored = parts.command(
        root, "usr/bin/victoria-metrics", f"-storageDataPath={folder / 'stored'}", "-search.latencyOffset=1ms",
        f"-httpListenAddr=127.0.0.1:{storage}", f"-promscrape.config={folder / 'scrape.yml'}",
    )  # fmt: skip
    judged = parts.command(
        root, "usr/bin/vmalert", f"-rule={folder / 'rules.yml'}", f"-datasource.url={url}",
        f"-notifier.url={alertmanager.url}", f"-httpListenAddr=127.0.0.1:{judge}", "-external.label=studio=lab",
        "-rule.evalDelay=0s", "-datasource.queryStep=5s",
    )  # fmt: skip
    with running(stored, folder / "victoriametrics.log"):
        wait_for("VictoriaMetrics", lambda: requests.get(f"{url}/health", timeout=2).ok, 60)
        with running(judged, folder / "vmalert.log"):
            yield


@contextmanager
def away(_port: int, _folder: Path) -> Iterator[None]:
    """Nobody listens."""
    yield


@contextmanager
def hangs(port: int, _folder: Path) -> Iterator[None]:
    """Who listens takes the call and never answers."""
    with socket.create_server(("127.0.0.1", port)):
        yield


@contextmanager
def fails(port: int, folder: Path) -> Iterator[None]:
    """Who listens answers 500."""
    with running(recorder(port, folder / "failing.jsonl"), folder / "failing.log"):
        url = f"http://127.0.0.1:{port}/lab/fail?seconds=600&status=500"
        wait_for("a webhook that fails", lambda: requests.post(url, timeout=5).ok, 60)
        yield


def play_failing_delivery(trouble: Trouble, root: Path, folder: Path) -> None:
    """The shop's webhook is in trouble: support is told, the heartbeat stops; it is well, and so is all else."""
    alertmanager = Alertmanager(root, folder / "am", lambda text: quicker(text, r'_wait: "|_interval: "'))
    records = {kind: folder / f"{kind}.jsonl" for kind in alertmanager.ports}

    def names(kind: str, status: str) -> set[str]:
        return {alert["name"] for alert in told(records[kind]) if alert["status"] == status}

    def last_beat() -> float:
        return max((alert["received"] for alert in told(records["heartbeat"])), default=0.0)

    with ExitStack() as stack:
        for kind in ("system", "heartbeat"):
            stack.enter_context(running(recorder(alertmanager.ports[kind], records[kind]), folder / f"{kind}.log"))
        with trouble(alertmanager.ports["shop"], folder):
            stack.enter_context(alertmanager.up())
            stack.enter_context(pipeline(root, folder, alertmanager))
            wait_for("the heartbeat", last_beat, 60)
            wait_for("support is told", lambda: "DeliveryFailing" in names("system", "firing"), 180)
            assert "Trouble" not in names("system", "firing")
            # The longest between two beats is 55 s, here 4 s.
            wait_for("the heartbeat stops", lambda: time.time() - last_beat() > 12, 90)
            assert names("shop", "firing") == set()
        stopped = last_beat()
        shop = recorder(alertmanager.ports["shop"], records["shop"])
        stack.enter_context(running(shop, folder / "shop.log"))
        wait_for("the shop is told what it missed", lambda: "Trouble" in names("shop", "firing"), 90)
        wait_for("support is told that it is over", lambda: "DeliveryFailing" in names("system", "resolved"), 180)
        wait_for("the heartbeat is back", lambda: last_beat() > stopped, 60)


def test_a_delivery_that_fails_is_told_by_the_other_path_and_the_heartbeat_stops(root: Path, tmp_path: Path) -> None:
    """However the shop's webhook fails; three stories at once, since most of each is waiting."""
    kinds = (away, hangs, fails)
    for kind in kinds:
        (tmp_path / kind.__name__).mkdir()
    with ThreadPoolExecutor(len(kinds)) as pool:
        played = {kind: pool.submit(play_failing_delivery, kind, root, tmp_path / kind.__name__) for kind in kinds}
    assert {kind.__name__: story.exception() for kind, story in played.items() if story.exception()} == {}
