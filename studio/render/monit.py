"""monit: restarts what systemd does not bring back, the canary through the pipeline, data-flow checks, M/Monit."""

from collections.abc import Iterable
from typing import Any, Final

from studio.bundle import Artifact
from studio.model import Studio
from studio.paths import HOST_CURRENT
from studio.render.catalogue import threshold
from studio.render.component import Component
from studio.render.quadlet import HEALTH_RETRIES, HEALTH_SECONDS
from studio.render.templates import fill

NAME: Final = "monit"
CYCLE_SECONDS: Final = 10
UNIT_EVERY_CYCLES: Final = 3
CANARY_CYCLES: Final = 2
ACCOUNTS_UNIT: Final = "sensor-pipeline-accounts.path"
# monit wants a program that is there already when a host's first generation is judged.
HOSTCTL: Final = f"/usr/bin/python3 {HOST_CURRENT}/bin/hostctl.pyz"


def mmonit(studio: Studio) -> dict[str, Any] | None:
    """What hostctl needs to write the M/Monit line, which holds the password."""
    m = studio.mmonit
    return None if m is None else {"address": m.address, "port": m.port, "user": m.user, "secret": m.password_secret}


def _most_used_percent(alert: str) -> str:
    """The bound of an alert about what is left, as monit counts: what is used."""
    return f"{100 * (1 - threshold(alert)):g}"


def render(studio: Studio, services: Iterable[Component]) -> Component:
    """monit's files; it watches the units and health URLs of the other components."""
    watched = list(services)
    http = [
        {"name": c.name, "port": c.listens[0].port, "path": c.health_url.partition("127.0.0.1")[2].partition("/")[2]}
        for c in watched
        if c.health_url and c.container
    ]
    monitrc = fill(
        "monit/monitrc",
        studio=studio.name,
        user=studio.host.user,
        hostctl=HOSTCTL,
        cycle_seconds=CYCLE_SECONDS,
        unit_every=UNIT_EVERY_CYCLES,
        mmonit=studio.mmonit,
        memory_percent=_most_used_percent("HostMemoryLow"),
        disk_percent=_most_used_percent("DiskAlmostFull"),
        unhealthy_seconds=HEALTH_SECONDS * HEALTH_RETRIES,
        start_seconds=studio.start_timeout_seconds,
        canary_cycles=CANARY_CYCLES,
        units=watched,
        http_checks=[{**check, "path": f"/{check['path']}"} for check in http],
        mqtt_port=studio.ports.mqtt,
        broker=studio.broker,
        accounts_unit=ACCOUNTS_UNIT if studio.hub.enabled else None,
        furnaces=[f for f in studio.furnaces if not f.off],
    )
    drop_in = fill("systemd/monit.conf", current=HOST_CURRENT, user=studio.host.user)
    secrets = ("broker-monit", *((studio.mmonit.password_secret,) if studio.mmonit else ()))
    return Component(
        name=NAME,
        order=90,
        start_timeout=60,
        files={
            # monit refuses a control file that others may read.
            "monit/monitrc": Artifact.text(monitrc, 0o600),
            "systemd/monit.service.d/sensor-pipeline.conf": Artifact.text(drop_in),
        },
        package="monit",
        service="monit",
        secrets=secrets,
        validate=(("/usr/bin/monit", "-t", "-c", "{gen}/monit/monitrc"),),
    )
