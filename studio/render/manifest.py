"""The manifest's facts: what hostctl, verify and status need to know of a generation, as JSON values."""

from collections.abc import Sequence
from typing import Any, Final

from studio.model import Studio
from studio.render import hub
from studio.render.accounts import accounts
from studio.render.alertmanager import receivers
from studio.render.monit import mmonit
from studio.render.victoriametrics import targets

FORMAT: Final = 1
PACKAGES: Final = (
    "podman",
    "crun",
    "uidmap",
    "passt",
    "slirp4netns",
    "netavark",
    "aardvark-dns",
    "dbus-user-session",
    "libpam-systemd",
    "openssl",
    "nftables",
    "python3-paho-mqtt",
    "ca-certificates",
)
# Debian has no package of Alloy.
GRAFANA_APT: Final = {
    "name": "grafana",
    "uri": "https://apt.grafana.com",
    "suite": "stable",
    "components": "main",
    "key_url": "https://apt.grafana.com/gpg-full.key",
}


OF_THE_WHOLE: Final = frozenset({"rules", "extension"})
"""What one component knows and the manifest says of the whole generation."""


def _secrets(studio: Studio, components: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every secret of the studio: `generated` and `tls` ones are made on the host, `user` ones are given."""
    users = set(receivers(studio).values()) | hub.user_secrets(studio)
    if studio.grafana_cloud:
        users.add(studio.grafana_cloud.token_secret)
    if studio.logs.loki_url and studio.logs.user:
        users.add(studio.logs.token_secret)
    if studio.mmonit:
        users.add(studio.mmonit.password_secret)
    consumers: dict[str, list[str]] = {}
    for component in components:
        for name in (*component["secrets"], *component["secret_variables"]):
            consumers.setdefault(name, []).append(component["name"])
    certificate = {"tls-keystore", "tls-cert", "tls-key"}
    generated = dict.fromkeys((*(account.secret for account in accounts(studio)), *consumers))
    return [
        {
            "name": name,
            "origin": "user" if name in users else "tls" if name in certificate else "generated",
            "required": True,
            "consumers": consumers.get(name, []),
        }
        for name in sorted(generated)
    ]


def _tls(studio: Studio) -> dict[str, Any] | None:
    """What the broker's certificate is for; hostctl adds the machine's own names."""
    if studio.network is None:
        return None
    address = [] if studio.host.is_local else [studio.host.address]
    return {"cn": f"{studio.name}.local", "san": address, "port": studio.ports.mqtt_tls}


def _expected(studio: Studio) -> list[dict[str, Any]]:
    """Series that must have a sample younger than `max_age_seconds`, unless the furnace is off."""
    furnaces = [
        {
            "name": "furnace_furnace_temp",
            "labels": {"studio": studio.name, "furnace": furnace.id},
            "max_age_seconds": furnace.no_data_minutes * 60,
            "off": furnace.off,
        }
        for furnace in studio.furnaces
    ]
    canary = {
        "name": "pipeline_canary_sent_seconds",
        "labels": {"studio": studio.name},
        "max_age_seconds": 120,
        "off": False,
    }
    return [*furnaces, canary]


def facts(studio: Studio, components: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The manifest without what the bundle itself adds (`files`, `generation`)."""
    packages = [c["package"] for c in components if c["package"]]
    return {
        "format": FORMAT,
        "studio": studio.name,
        "title": studio.display_name,
        "user": studio.host.user,
        "broker": studio.broker,
        "components": [
            {key: value for key, value in c.items() if key not in OF_THE_WHOLE}
            for c in sorted(components, key=lambda c: (c["order"], c["name"]))
        ],
        "secrets": _secrets(studio, components),
        "broker_users": [{"name": a.name, "secret": a.secret, "role": a.name} for a in accounts(studio)],
        "packages": sorted({*PACKAGES, *packages}),
        "apt_sources": [GRAFANA_APT] if "alloy" in packages else [],
        "images": {c["name"]: c["image"] for c in components if c["image"]},
        "image_archive": studio.image_archive,
        "extension": next((c["extension"] for c in components if "extension" in c), None),
        "tls": _tls(studio),
        "network": studio.network,
        "mmonit": mmonit(studio),
        "canary_topic": studio.topics.canary,
        "ports": studio.ports.model_dump(),
        "retention": studio.retention,
        "expected_series": _expected(studio),
        "rules": next(c["rules"] for c in components if "rules" in c),
        "scrape_jobs": list(targets(studio)),
        "furnaces": [
            {"id": f.id, "label": f.title, "no_data_minutes": f.no_data_minutes, "off": f.off} for f in studio.furnaces
        ],
    }
