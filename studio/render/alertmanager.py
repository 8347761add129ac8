"""Alertmanager: routes alerts by their type to two webhooks, and the watchdog to a heartbeat."""

from typing import Any, Final

from studio.bundle import Artifact
from studio.model import Studio
from studio.render.catalogue import Alert, entries
from studio.render.component import Component, loopback
from studio.render.quadlet import Container, Secret, http_health
from studio.render.yaml_text import to_yaml

NAME: Final = "alertmanager"
CONFIG: Final = "/etc/alertmanager"
NOBODY: Final = 65534
RECEIVERS: Final = {"shop": "irm-shop", "system": "irm-system", "heartbeat": "heartbeat"}
NO_RECEIVER: Final = "nobody"


def receivers(studio: Studio) -> dict[str, str]:
    """The secrets that hold the webhooks' URLs, by receiver (`shop`, `system`, `heartbeat`), where there is one."""
    named = {kind: getattr(studio.alerts, kind) for kind in RECEIVERS}
    return {kind: receiver.url_secret for kind, receiver in named.items() if receiver is not None}


def _inhibition(alert: Alert) -> dict[str, Any]:
    """What is not told while an alert fires. Never across types: what support knows of does not warn the artist."""
    one = ["furnace"] if alert.each in ("furnace", "flame") else []
    return {
        "source_matchers": [f'alertname="{alert.name}"'],
        "target_matchers": [f'alertname=~"{"|".join(alert.inhibits)}"'],
        "equal": ["studio", "type", *one, *alert.same],
    }


def _config(studio: Studio) -> dict[str, Any]:
    secrets = receivers(studio)
    names = {kind: name if kind in secrets else NO_RECEIVER for kind, name in RECEIVERS.items()}
    webhooks = [
        {
            "name": RECEIVERS[kind],
            "webhook_configs": [{"url_file": f"/run/secrets/{secret}", "send_resolved": kind != "heartbeat"}],
        }
        for kind, secret in secrets.items()
    ]
    # Each interval is a little shorter than what it has to make: Alertmanager only looks when the group's turn comes.
    heartbeat = {"group_wait": "0s", "group_interval": "30s", "repeat_interval": "55s"}
    # One that cannot wait for others of its group, nor, when it comes back, for the group's next turn.
    urgent = {"group_wait": "1s", "group_interval": "15s"}
    routes = [
        {"matchers": ['alertname="Watchdog"'], "receiver": names["heartbeat"], **heartbeat},
        {"matchers": ['type="shop"', 'severity="critical"'], "receiver": names["shop"], **urgent},
        {"matchers": ['type="shop"'], "receiver": names["shop"]},
        {"matchers": ['type="system"'], "receiver": names["system"]},
    ]
    return {
        "route": {
            # What has no type is nobody else's, so it is support's.
            "receiver": names["system"],
            "group_by": ["alertname", "studio", "furnace"],
            "group_wait": "10s",
            "group_interval": "1m",
            "repeat_interval": "4h",
            "routes": routes,
        },
        "inhibit_rules": [_inhibition(alert) for alert in entries().values() if alert.inhibits],
        "receivers": [{"name": NO_RECEIVER}, *webhooks],
    }


def render(studio: Studio) -> Component:
    port = studio.ports.alertmanager
    # Two receivers may share one URL.
    secrets = tuple(dict.fromkeys(receivers(studio).values()))
    container = Container(
        name=NAME,
        title="Alertmanager, the alert router",
        image=studio.images.alertmanager,
        config=CONFIG,
        command=(
            f"--config.file={CONFIG}/alertmanager.yml",
            "--storage.path=/alertmanager",
            f"--web.listen-address=127.0.0.1:{port}",
            # One node: no gossip, no second port.
            "--cluster.listen-address=",
        ),
        user=NOBODY,
        health=http_health(port, "/-/healthy"),
        memory="256M",
        start_timeout=studio.start_timeout_seconds,
        volumes={"alertmanager-data": "/alertmanager"},
        secrets=tuple(Secret(name, NOBODY) for name in secrets),
    )
    return Component(
        name=NAME,
        order=40,
        start_timeout=studio.start_timeout_seconds,
        files={
            "alertmanager/alertmanager.yml": Artifact.text(
                to_yaml(_config(studio), "Where alerts go, by their label `type`; the URLs are secrets.")
            )
        },
        container=container,
        image=studio.images.alertmanager,
        secrets=secrets,
        listens=(loopback(port, "http"),),
        health_url=f"http://127.0.0.1:{port}/-/healthy",
        validate=(("/bin/amtool", "check-config", f"{CONFIG}/alertmanager.yml"),),
    )
