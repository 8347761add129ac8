"""What must be found on the host: derived from the studio and its rendered generation alone."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from studio.bundle import Bundle
from studio.model import Studio
from studio.render import render
from studio.render.accounts import Account, accounts
from studio.render.hub import METRICS_TOKEN

LOOK_BACK = "30d"
FIREWALL_UNIT = "sensor-pipeline-firewall.service"
ACCOUNTS_UNIT = "sensor-pipeline-accounts.path"
AS_SCRAPER = ("hub metrics as scraper", "hub devices as scraper")
"""What is asked of the hub with the token that VictoriaMetrics has."""
Component = dict[str, Any]


@dataclass(frozen=True)
class Expected:
    """A studio, its generation, and the question about it that goes to the host."""

    studio: Studio
    bundle: Bundle

    @classmethod
    def of(cls, studio: Studio) -> "Expected":
        return cls(studio, render(studio))

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return self.bundle.manifest

    @property
    def components(self) -> list[Component]:
        return list(self.manifest["components"])

    @property
    def containers(self) -> list[Component]:
        return [c for c in self.components if c["kind"] == "quadlet"]

    @property
    def host_services(self) -> list[Component]:
        return [c for c in self.components if c["kind"] == "host"]

    @property
    def accounts(self) -> list[Account]:
        return accounts(self.studio)

    @property
    def folders(self) -> list[dict[str, Any]]:
        """Folders of the host that belong to a container's user."""
        return [folder for c in self.containers for folder in c.get("folders", [])]

    @property
    def secured(self) -> dict[str, dict[str, Any]]:
        """By purpose, what listens on the studio's network: {"port", "name" (that of the certificate)}."""
        certificate = self.manifest["tls"]
        every = [x for c in self.components for x in c["listens"] if x["address"] in ("0.0.0.0", "::")]  # noqa: S104
        return {x["purpose"]: {"port": x["port"], "name": certificate["cn"]} for x in every} if certificate else {}

    def quadlet(self, component: Component) -> dict[str, list[str]]:
        """The settings of a component's `.container` file, each with all its values."""
        text = self.bundle.files[f"quadlets/{component['name']}.container"].content.decode()
        found: dict[str, list[str]] = {}
        for line in text.splitlines():
            key, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                found.setdefault(key, []).append(value)
        return found

    def question(self) -> dict[str, Any]:
        """What the probe is to find out (JSON)."""
        manifest, ports = self.manifest, self.studio.ports
        return {
            "user": manifest["user"],
            "containers": [c["name"] for c in self.containers],
            "host_units": [*(c["unit"] for c in self.host_services), FIREWALL_UNIT, ACCOUNTS_UNIT],
            "folders": [folder["path"] for folder in self.folders],
            "packages": manifest["packages"],
            "secrets": [s["name"] for s in manifest["secrets"]],
            "secret_variables": {c["name"]: c["secret_variables"] for c in self.containers if c["secret_variables"]},
            "firewall_unit": FIREWALL_UNIT,
            "mqtt_port": ports.mqtt,
            "accounts": [self._rights(account) for account in self.accounts],
            "canary": {"account": "monit", "topic": self.studio.topics.canary},
            "tls": self.secured,
            "urls": self._urls(),
            "tokens": {name: METRICS_TOKEN for name in AS_SCRAPER if self.studio.hub.enabled},
        }

    def _rights(self, account: Account) -> dict[str, Any]:
        """What an account is tried with: all it may read, and what it may neither read nor write."""
        own = {p.topic for p in account.permissions if p.activity == "PUBLISH"}
        others = [p.topic for a in self.accounts if a.name.startswith("device-") for p in a.permissions]
        foreign = next((t for t in others if t not in own and "#" not in t), self.studio.topics.canary)
        return {
            "name": account.name,
            "secret": account.secret,
            "may_subscribe": [p.topic for p in account.permissions if p.activity == "SUBSCRIBE"],
            "may_not_subscribe": ["#", *([foreign] if account.name.startswith("device-") else [])],
            "may_not_publish": [foreign],
        }

    def _urls(self) -> dict[str, str]:
        ports, studio = self.studio.ports, self.studio.name
        victoria, alerts = f"http://127.0.0.1:{ports.victoriametrics}", f"http://127.0.0.1:{ports.alertmanager}"

        def newest(series: str) -> str:
            query = {"query": f"tlast_over_time({series}[{LOOK_BACK}])", "latency_offset": "1ms"}
            return f"{victoria}/api/v1/query?{urlencode(query)}"

        return {
            **{f"health {c['name']}": c["health_url"] for c in self.components if c["health_url"]},
            **(self._hub_urls(victoria) if self.studio.hub.enabled else {}),
            "flags": f"{victoria}/flags",
            "targets": f"{victoria}/api/v1/targets?state=active",
            "rules": f"http://127.0.0.1:{ports.vmalert}/api/v1/rules",
            "alertmanager": f"{alerts}/api/v2/status",
            "alerts": f"{alerts}/api/v2/alerts",
            "canary": newest(f'pipeline_canary_sent_seconds{{studio="{studio}"}}'),
            "furnaces": newest(f'furnace_furnace_temp{{studio="{studio}"}}'),
        }

    def _hub_urls(self, victoria: str) -> dict[str, str]:
        base = f"http://127.0.0.1:{self.studio.ports.hub}"
        series = {"query": f'hub_mqtt_connected{{studio="{self.studio.name}"}}', "latency_offset": "1ms"}
        return {
            "hub ready": f"{base}/readyz",
            "hub page": f"{base}/",
            "hub live view": f"{base}/live/view",
            "hub metrics": f"{base}/metrics",
            "hub devices": f"{base}/admin/devices",
            "hub metrics as scraper": f"{base}/metrics",
            "hub devices as scraper": f"{base}/admin/devices",
            "hub series": f"{victoria}/api/v1/query?{urlencode(series)}",
        }
