"""From a firing alert to the webhook that is called, by the real vmalert and Alertmanager as they are rendered."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from vector_support import wait_for

from lab.plain import parts
from lab.plain.layout import RECORDER, TOKENS, WEBHOOK, free_ports
from studio.model import Studio, load_studio
from studio.render import render, rules
from studio.render.alertmanager import RECEIVERS
from studio.render.catalogue import entries

pytestmark = pytest.mark.services
LAB = load_studio("lab")
QUICKER = 15
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def root() -> Path:
    return parts.build_root()


def said(root: Path, program: str, *arguments: str, cwd: Path | None = None) -> str:
    argv = parts.command(root, f"usr/bin/{program}", *arguments)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rendered(studio: Studio, path: str) -> str:
    return render(studio).files[path].content.decode()


def quicker(text: str, pattern: str) -> str:
    """A configuration with its durations (those that the pattern ends with) a fifteenth as long, a second at least."""

    def shorter(match: re.Match[str]) -> str:
        seconds = int(match[2]) * {"s": 1, "m": 60, "h": 3600}[match[3]]
        return f"{match[1]}{max(1, round(seconds / QUICKER))}s"

    return re.sub(rf"({pattern})(\d+)([smh])\b", shorter, text)


@contextmanager
def running(argv: list[str], log: Path, cwd: Path | None = None) -> Iterator[None]:
    with log.open("ab") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, cwd=cwd)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def recorder(port: int, records: Path) -> list[str]:
    return [sys.executable, str(RECORDER), "--port", str(port), "--records", str(records)]


def told(records: Path) -> list[dict[str, Any]]:
    """Every alert that a recorder was told, with when, and as what kind of call."""
    lines = records.read_text().splitlines() if records.exists() else []
    return [
        {"kind": r["kind"], "received": r["received"], "name": a["labels"]["alertname"], **a}
        for r in map(json.loads, lines)
        for a in r["body"]["alerts"]
    ]


class Alertmanager:
    """Alertmanager with the lab's rendered configuration; each receiver calls a port of its own."""

    def __init__(self, root: Path, folder: Path, change: Callable[[str], str] = str) -> None:
        self.port, *ports = free_ports(4)
        self.ports = dict(zip(RECEIVERS, ports, strict=True))
        self.url = f"http://127.0.0.1:{self.port}"
        secrets = folder / "secrets"
        secrets.mkdir(parents=True)
        for kind, port in self.ports.items():
            (secrets / f"irm-{kind}-url").write_text(WEBHOOK.format(port=port, token=TOKENS[kind]))
        config = folder / "alertmanager.yml"
        config.write_text(change(rendered(LAB, "alertmanager/alertmanager.yml")).replace("/run/secrets", str(secrets)))
        flags = [f"--config.file={config}", f"--storage.path={folder / 'data'}", "--cluster.listen-address="]
        listen = f"--web.listen-address=127.0.0.1:{self.port}"
        self.argv = parts.command(root, "usr/bin/prometheus-alertmanager", *flags, listen)
        self.root, self.folder = root, folder

    @contextmanager
    def up(self) -> Iterator["Alertmanager"]:
        with running(self.argv, self.folder / "alertmanager.log", self.root):
            wait_for("Alertmanager", lambda: requests.get(f"{self.url}/-/ready", timeout=2).ok, 60)
            yield self

    def post(self, *labels: dict[str, str]) -> None:
        now = datetime.now(UTC).isoformat()
        alerts = [{"labels": own, "startsAt": now} for own in labels]
        requests.post(f"{self.url}/api/v2/alerts", json=alerts, timeout=10).raise_for_status()

    def inhibited(self) -> dict[str, bool]:
        """Whether each alert is held back, by its name (and what else tells it apart)."""
        found = requests.get(f"{self.url}/api/v2/alerts", timeout=10).json()
        return {a["labels"].get("id", ""): bool(a["status"]["inhibitedBy"]) for a in found}


def every_rule() -> list[dict[str, Any]]:
    return [rule for found in rules.groups(LAB).values() for rule in found if "alert" in rule]


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.iterdir() if path.is_dir()))
def test_the_parts_own_checkers_take_what_is_rendered(root: Path, name: str, tmp_path: Path) -> None:
    said(root, "vmalert", "-dryRun", f"-rule={GOLDEN / name / 'vmalert/rules'}/*.yml", "-rule.validateTemplates")
    checked = said(root, "amtool", "check-config", str(GOLDEN / name / "alertmanager/alertmanager.yml"))
    assert "SUCCESS" in checked


def test_the_checkers_refuse_what_is_wrong(root: Path, tmp_path: Path) -> None:
    """What says that they look."""
    broken = tmp_path / "broken.yml"
    broken.write_text("groups: [{name: x, rules: [{alert: A, expr: 'avg_over_time('}]}]")
    with pytest.raises(AssertionError, match=r"broken\.yml"):
        said(root, "vmalert", "-dryRun", f"-rule={broken}")
    broken.write_text("route: {receiver: nobody}")
    with pytest.raises(AssertionError, match="nobody"):
        said(root, "amtool", "check-config", str(broken))


def test_every_rules_labels_lead_to_the_right_receiver(root: Path) -> None:
    config = f"--config.file={GOLDEN / 'lab/alertmanager/alertmanager.yml'}"
    for rule in every_rule():
        labels = {**rule["labels"], "alertname": rule["alert"], "studio": "lab"}
        receiver = said(root, "amtool", "config", "routes", "test", config, *(f"{k}={v}" for k, v in labels.items()))
        wanted = "heartbeat" if rule["alert"] == "Watchdog" else RECEIVERS[rule["labels"]["type"]]
        assert receiver.strip() == wanted, labels
    assert said(root, "amtool", "config", "routes", "test", config, "alertname=Unheard").strip() == "irm-system"


def pairs() -> Iterator[tuple[str, dict[str, str], dict[str, str], bool]]:
    """Of every inhibition: its name, the labels of a source and of a target, and whether the target is held back.

    Each is in a studio of its own, so that no other holds anything of it back.
    """
    for source in (alert for alert in entries().values() if alert.inhibits):
        one = ["furnace"] if source.each in {"furnace", "flame"} else []
        for target in source.inhibits:
            for other in (None, "studio", "type", *one, *source.same):
                name = f"{source.name} > {target}, other {other}"
                same = {"studio": name, "type": source.types[0], "furnace": "main", "job": "j", "mountpoint": "/"}
                changed = {**same, other: f"not {name}"} if other else same
                yield (
                    name,
                    {**same, "alertname": source.name, "id": "source"},
                    {**changed, "alertname": target, "id": name},
                    other is None,
                )


def test_each_inhibition_holds_back_what_it_names_and_nothing_of_others(root: Path, tmp_path: Path) -> None:
    """With the same labels it does; of another studio or type, or furnace, part or disk if it is about one, not."""
    found = list(pairs())
    expected = {name: held for name, _, _, held in found} | {"source": False}
    assert len(expected) > 3 * len([alert for alert in entries().values() if alert.inhibits])
    with Alertmanager(root, tmp_path).up() as alertmanager:
        for _, source, target, _ in found:
            alertmanager.post(source, target)
        # Alertmanager judges inhibition when it is about to tell a group: ten seconds later.
        wait_for("every inhibition is judged", lambda: alertmanager.inhibited() == expected, 60)


@contextmanager
def pipeline(root: Path, folder: Path, alertmanager: Alertmanager) -> Iterator[None]:
    """VictoriaMetrics that scrapes Alertmanager each second, and vmalert with three rules, everything quicker."""
    storage, judge = free_ports(2)
    kept = [r for r in every_rule() if r["alert"] in {"DeliveryFailing", "Watchdog"}]
    trouble = {"alert": "Trouble", "expr": "vector(1)", "labels": {"type": "shop", "severity": "critical"}}
    text = yaml.safe_dump({"groups": [{"name": "quicker", "interval": "1s", "rules": [*kept, trouble]}]})
    (folder / "rules.yml").write_text(quicker(text, r"\[|for: "))
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


def test_a_delivery_that_fails_is_told_by_the_other_path_and_the_heartbeat_stops(root: Path, tmp_path: Path) -> None:
    """The shop's webhook is away: support is told, the heartbeat stops; it is back, and so is all else."""
    alertmanager = Alertmanager(root, tmp_path / "am", lambda text: quicker(text, r'_wait: "|_interval: "'))
    records = {kind: tmp_path / f"{kind}.jsonl" for kind in alertmanager.ports}

    def names(kind: str, status: str) -> set[str]:
        return {alert["name"] for alert in told(records[kind]) if alert["status"] == status}

    def last_beat() -> float:
        return max((alert["received"] for alert in told(records["heartbeat"])), default=0.0)

    with ExitStack() as stack:
        for kind in ("system", "heartbeat"):
            stack.enter_context(running(recorder(alertmanager.ports[kind], records[kind]), tmp_path / f"{kind}.log"))
        stack.enter_context(alertmanager.up())
        stack.enter_context(pipeline(root, tmp_path, alertmanager))
        wait_for("the heartbeat", last_beat, 60)
        wait_for("support is told", lambda: "DeliveryFailing" in names("system", "firing"), 120)
        assert "Trouble" not in names("system", "firing")
        # The longest between two beats is 55 s, here 4 s.
        wait_for("the heartbeat stops", lambda: time.time() - last_beat() > 12, 60)
        stopped = last_beat()
        shop = recorder(alertmanager.ports["shop"], records["shop"])
        stack.enter_context(running(shop, tmp_path / "shop.log"))
        wait_for("the shop is told what it missed", lambda: "Trouble" in names("shop", "firing"), 60)
        wait_for("support is told that it is over", lambda: "DeliveryFailing" in names("system", "resolved"), 120)
        wait_for("the heartbeat is back", lambda: last_beat() > stopped, 60)
