"""The story of tests/host/test_alerts.py: it is played on a lab host, and all that the webhooks were told is kept.

Good data for a minute; the main furnace sends five minutes of readings that are too cold, then Vector is stopped, and
the webhooks fail just when the alerts are due; all is well again; vmalert is stopped, and started again. monit is
stopped from the second part on, since it would start again what the story needs stopped.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import paho.mqtt.client as paho
import requests
from alerts_seen import alerts, failed_attempts, mean, pending_since
from deploy_support import StudioHost
from paho.mqtt.enums import CallbackAPIVersion

from lab import studio_host
from lab.ports import RECORDER
from lab.simulator.physics import Mood

AS_STUDIO = "runuser -u studio -- env XDG_RUNTIME_DIR=/run/user/$(id -u studio) systemctl --user"
HEALTHY = 65.0
COLD, WARM = 900.0, 1150.0  # °C; the main furnace's limits are 1050 and 1180
BEAT = 75.0  # seconds between two heartbeats: one minute, and what a busy machine adds
EXPIRES = 75.0  # seconds until Alertmanager forgets an alert that vmalert does not renew
FAILING = 45.0


@dataclass(frozen=True)
class Told:
    """One alert in one delivery."""

    receiver: str
    received: float
    began: float
    status: str
    name: str
    labels: dict[str, str]
    description: str


@dataclass
class Story:
    """The moments of what was played (epoch seconds), and all that was told."""

    at: dict[str, float] = field(default_factory=dict)
    failed_attempts: float = 0
    told: list[Told] = field(default_factory=list)

    def mark(self, moment: str) -> None:
        self.at[moment] = time.time()

    def names(self, told: list[Told], status: str) -> set[str]:
        """The alerts that were told of since the story began."""
        return {t.name for t in told if t.status == status and t.began >= self.at["good"] - 5}

    def find(self, name: str, status: str, receiver: str | None = None) -> list[Told]:
        """What was told of an alert, the oldest first; only what began in the story counts."""
        return [
            t
            for t in self.told
            if (t.name, t.status) == (name, status)
            and t.began >= self.at["good"] - 5
            and receiver in (None, t.receiver)
        ]

    def beats(self, since: str, until: str) -> list[float]:
        found = [t.received for t in self.told if t.receiver == "heartbeat"]
        return [beat for beat in found if self.at[since] <= beat <= self.at[until]]


def told(studio: StudioHost) -> list[Told]:
    """Everything that the webhooks took so far."""
    found = []
    for record in studio_host.records(studio.host):
        for alert in record["body"]["alerts"]:
            labels = alert["labels"]
            began = datetime.fromisoformat(alert["startsAt"][:19] + "+00:00").timestamp()
            description = alert["annotations"].get("description", "")
            of_it = alert["status"], labels["alertname"], labels, description
            found.append(Told(record["receiver"], record["received"], began, *of_it))
    return found


def wait(condition: Callable[[], bool], seconds: float) -> None:
    """Return when the condition holds or the time is over: the tests tell what is missing then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if condition():
                return
        except requests.RequestException:
            pass
        time.sleep(1)


def send(studio: StudioHost, celsius: float, count: int) -> None:
    """The main furnace sends `count` readings of the last five minutes, each with its own time, as one does that was
    cut off."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="main-catching-up")
    client.username_pw_set("device-main", studio_host.secret(studio.host, "device-main"))
    client.max_inflight_messages_set(200)
    client.connect("127.0.0.1", studio.host.port(1883))
    client.loop_start()
    now = time.time_ns() // 1_000_000
    step = 295_000 // count
    sent = [
        client.publish("furnace/main/telemetry", json.dumps({"furnace_temp": celsius, "ts": now - i * step}), 1)
        for i in range(count)
    ]
    for message in sent:
        message.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def webhooks_fail(studio: StudioHost, seconds: float) -> None:
    url = f"http://127.0.0.1:{studio.host.port(RECORDER)}/lab/fail"
    requests.post(url, params={"seconds": f"{seconds}", "status": "503"}, timeout=10).raise_for_status()


def has_run_for_long(studio: StudioHost) -> None:
    """The storage says that it has been there for half an hour: after a start what is on absence waits."""
    labels = {"__name__": "up", "job": "victoriametrics", "studio": "lab", "instance": "before the snapshot"}
    stamps = [(int(time.time()) - at) * 1000 for at in range(0, 1800, 15)]
    line = json.dumps({"metric": labels, "values": [1] * len(stamps), "timestamps": stamps})
    url = f"http://127.0.0.1:{studio.host.port(8428)}/api/v1/import"
    requests.post(url, data=line, timeout=30).raise_for_status()


def good_data(studio: StudioHost, story: Story) -> None:
    host = studio.host
    has_run_for_long(studio)
    studio_host.start_feed(host, studio_host.studio_of(host))
    wait(lambda: mean(studio) > 1050 and not alerts(studio, "firing") | alerts(studio, "pending"), 120)
    story.mark("good")
    time.sleep(HEALTHY)
    story.mark("end of good")


def trouble(studio: StudioHost, story: Story) -> None:
    host = studio.host
    host.exec("systemctl stop monit")
    studio_host.set_moods(host, {"main": Mood.SILENT})
    story.mark("cold")
    send(studio, COLD, 300)
    wait(lambda: mean(studio) < 1000, 30)
    host.exec(f"{AS_STUDIO} stop vector.service")
    story.mark("Vector stopped")
    wait(lambda: "FurnaceTempLow" in alerts(studio, "pending"), 60)
    # It fires a minute after that, and is delivered up to ten seconds later.
    time.sleep(max(0.0, pending_since(studio, "FurnaceTempLow") + 50 - time.time()))
    webhooks_fail(studio, FAILING)
    story.mark("webhooks fail")
    time.sleep(FAILING - 1)
    story.failed_attempts = failed_attempts(studio)
    story.mark("webhooks answer")
    wait(lambda: {"FurnaceTempLow", "VectorDown"} <= story.names(told(studio), "firing"), 150)


def all_well(studio: StudioHost, story: Story) -> None:
    host = studio.host
    host.exec(f"{AS_STUDIO} start vector.service")
    story.mark("well")
    send(studio, WARM, 1000)
    studio_host.set_moods(host, {})
    wait(lambda: "FurnaceTempLow" in story.names(told(studio), "resolved"), 150)


def no_vmalert(studio: StudioHost, story: Story) -> None:
    wait(lambda: any(t.receiver == "heartbeat" and t.received > story.at["well"] for t in told(studio)), BEAT)
    studio.host.exec("systemctl stop monit")  # it would have vmalert back before the watchdog is forgotten
    studio.host.exec(f"{AS_STUDIO} stop vmalert.service")
    story.mark("vmalert stopped")
    time.sleep(EXPIRES)
    story.mark("watchdog forgotten")
    time.sleep(BEAT)
    story.mark("vmalert started")
    studio.host.exec(f"{AS_STUDIO} start vmalert.service")
    began = time.time()
    wait(lambda: any(t.receiver == "heartbeat" and t.received > began for t in told(studio)), 60)
    story.mark("end")
    studio.host.exec("systemctl start monit")


def played(studio: StudioHost) -> Story:
    """All of it (six minutes)."""
    story = Story()
    try:
        for part in (good_data, trouble, all_well, no_vmalert):
            part(studio, story)
        story.told = told(studio)
        return story
    finally:
        studio.host.exec("systemctl start monit", check=False)
