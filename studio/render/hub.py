"""The hub: its container, the configuration of its page, and the folders that it shares with the host.

What the hub writes for the host is left in a folder of its own (`SPOOL`): hostctl takes it from there, looks at it, and
gives it to the broker. The hub never writes where the broker reads.
"""

from pathlib import PurePosixPath
from typing import Any, Final

from studio.bundle import Artifact
from studio.model import Device, Studio
from studio.paths import HOST_STATE
from studio.render import hub_image
from studio.render.accounts import HUB_SECRET
from studio.render.component import Component, everywhere, loopback
from studio.render.component import Listener as Listens
from studio.render.escape import to_json
from studio.render.quadlet import Container, Secret

NAME: Final = "hub"
USER: Final = 10001
CONFIG: Final = "/etc/hub"
PAGE: Final = "hub/page.json"
ADMIN_TOKEN: Final = "hub-admin-token"  # noqa: S105 - a secret's name
METRICS_TOKEN: Final = "hub-metrics-token"  # noqa: S105
"""What VictoriaMetrics scrapes with: it reads the metrics and nothing else."""
SPOOL: Final = HOST_STATE / "hub" / "accounts"
ACCOUNTS: Final = "/accounts"
EVENTS: Final = "/events"
READERS: Final = "adm"
"""The group of those who read logs; Alloy and Promtail belong to it."""


def tls_listeners(studio: Studio) -> tuple[Listens, ...]:
    """What listens on the studio's network: HTTPS, and provisioning in ThingsBoard's protocol."""
    if not (studio.hub.enabled and studio.hub.tls and studio.network):
        return ()
    address = everywhere(studio.network)
    https = Listens(address, studio.ports.hub_tls, "https")
    if not studio.hub.provisioning:
        return (https,)
    return (https, Listens(address, studio.ports.hub_provisioning, "provisioning"))


def user_secrets(studio: Studio) -> set[str]:
    """The names of the secrets that the user gives for the hub."""
    hub = studio.hub
    return {name for name in (hub.database_url_secret, hub.fcm_secret) if name and hub.enabled}


def _silent_after(device: Device) -> int:
    return 60 * device.no_data_minutes


def _page(studio: Studio) -> Artifact:
    furnaces = [
        {
            "id": f.id,
            "label": f.title,
            "low": f.low_celsius,
            "high": f.high_celsius,
            "silent_after": _silent_after(f),
            "off": f.off,
        }
        for f in studio.furnaces
    ]
    about = {
        "title": studio.display_name,
        "studio": studio.name,
        "furnaces": furnaces,
        "silent_after": {device.id: _silent_after(device) for device in (*studio.cameras, *studio.plants)},
    }
    return Artifact.text(to_json(about))


def _secret_file(name: str) -> str:
    return f"/run/secrets/{name}"


def _environment(studio: Studio) -> dict[str, str]:
    ports, hub = studio.ports, studio.hub
    events = PurePosixPath(studio.logs.provisioning_events).name
    found = {
        "HUB_HOST": "127.0.0.1",
        "HUB_PORT": str(ports.hub),
        "HUB_ADMIN_TOKEN_FILE": _secret_file(ADMIN_TOKEN),
        "HUB_METRICS_TOKEN_FILE": _secret_file(METRICS_TOKEN),
        "HUB_MQTT_URL": f"mqtt://hub@127.0.0.1:{ports.mqtt}",
        "HUB_MQTT_PASSWORD_FILE": _secret_file(HUB_SECRET),
        "HUB_APK_DIR": "/data/apk",
        "HUB_BROKER_USERS_FILE": f"{ACCOUNTS}/hub.json",
        "HUB_TSDB_URL": f"http://127.0.0.1:{ports.victoriametrics}",
        "HUB_ALERTMANAGER_URL": f"http://127.0.0.1:{ports.alertmanager}",
        "HUB_PAGE_CONFIG": f"{CONFIG}/page.json",
        "PROVISION_EVENT_LOG": f"{EVENTS}/{events}",
    }
    if hub.database_url_secret:
        found["HUB_DATABASE_URL_FILE"] = _secret_file(hub.database_url_secret)
    else:
        found["HUB_DATABASE_URL"] = "sqlite:////data/hub.db"
    if hub.fcm_secret:
        found["HUB_FCM_CREDENTIALS_FILE"] = _secret_file(hub.fcm_secret)
    for listener in tls_listeners(studio):
        if listener.purpose == "https":
            found |= {"HUB_TLS_CERT": _secret_file("tls-cert"), "HUB_TLS_KEY": _secret_file("tls-key")}
            found |= {"HUB_TLS_HOST": listener.address, "HUB_TLS_PORT": str(listener.port)}
        else:
            found |= {"HUB_PROVISION_HOST": listener.address, "HUB_PROVISION_PORT": str(listener.port)}
            found["HUB_PROVISION_TLS"] = "true"
    return found


def folders(studio: Studio) -> list[dict[str, Any]]:
    """The folders of the host that the container writes to, for hostctl: `uid` is the user in the container."""
    events = str(PurePosixPath(studio.logs.provisioning_events).parent)
    return [
        {"path": str(SPOOL), "uid": USER, "mode": "0700", "group": None},
        # What is made in it belongs to the group of the folder.
        {"path": events, "uid": USER, "mode": "2750", "group": READERS},
    ]


def render(studio: Studio) -> Component:
    port, base = studio.ports.hub, studio.images.python
    names = [ADMIN_TOKEN, METRICS_TOKEN, HUB_SECRET, *sorted(user_secrets(studio))]
    if tls_listeners(studio):
        names += ["tls-cert", "tls-key"]
    accounts_folder, events_folder = (folder["path"] for folder in folders(studio))
    image = hub_image.reference(base)
    container = Container(
        name=NAME,
        title="the studio's hub",
        image=image,
        config=CONFIG,
        user=USER,
        # The image has no wget.
        health=f"python3 -I -S /opt/hub/hub/health.py {port}",
        memory="384M",
        start_timeout=studio.start_timeout_seconds,
        volumes={"hub-data": "/data"},
        writable={accounts_folder: ACCOUNTS, events_folder: EVENTS},
        environment=_environment(studio),
        secrets=tuple(Secret(name, USER) for name in names),
        after=(studio.broker,),
        stop_seconds=15,
    )
    return Component(
        name=NAME,
        order=50,
        start_timeout=studio.start_timeout_seconds,
        files={PAGE: _page(studio), hub_image.CONTEXT: hub_image.context()},
        container=container,
        image=image,
        secrets=tuple(names),
        listens=(loopback(port, "http"), *tls_listeners(studio)),
        health_url=f"http://127.0.0.1:{port}/healthz",
        facts={
            "build": {"context": hub_image.CONTEXT, "base": base, "archive": "python"},
            "folders": folders(studio),
        },
    )
