"""vmalert: evaluates the alert catalogue against VictoriaMetrics and tells Alertmanager."""

from typing import Any, Final

from studio.bundle import Artifact
from studio.model import Studio
from studio.render import recorded, rules
from studio.render.component import Component, loopback
from studio.render.quadlet import Container, http_health
from studio.render.victoriametrics import LATENCY_SECONDS
from studio.render.yaml_text import to_yaml

NAME: Final = "vmalert"
CONFIG: Final = "/etc/vmalert"
PROGRAM: Final = "/vmalert-prod"
RULES: Final = f"{CONFIG}/rules/*.yml"


def rule_files(studio: Studio, groups: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """The text of each group's file."""
    return {
        name: to_yaml(
            {"groups": [{"name": name, "interval": f"{rules.interval(name)}s", "rules": found}]},
            f"From alerts/ and the inventory of studio {studio.name}.",
        )
        for name, found in groups.items()
    }


def render(studio: Studio) -> Component:
    ports, groups = studio.ports, rules.groups(studio)
    files = {**rule_files(studio, groups), recorded.GROUP: recorded.rule_file(studio)}
    storage = f"http://127.0.0.1:{ports.victoriametrics}"
    flags = (
        f"-httpListenAddr=127.0.0.1:{ports.vmalert}",
        f"-datasource.url={storage}",
        # Where alerts' states are kept, so that a restart does not begin every `for:` anew.
        f"-remoteWrite.url={storage}",
        f"-remoteRead.url={storage}",
        "-remoteWrite.flushInterval=2s",
        f"-notifier.url=http://127.0.0.1:{ports.alertmanager}",
        f"-rule={RULES}",
        f"-evaluationInterval={rules.INTERVAL_SECONDS}s",
        # VictoriaMetrics hides what is newer.
        f"-rule.evalDelay={LATENCY_SECONDS}s",
        f"-external.label=studio={studio.name}",
        f"-external.url=http://127.0.0.1:{ports.vmalert}",
    )
    container = Container(
        name=NAME,
        title="vmalert, the alert rules",
        image=studio.images.vmalert,
        config=CONFIG,
        command=flags,
        health=http_health(ports.vmalert),
        memory="256M",
        start_timeout=studio.start_timeout_seconds,
        after=("victoriametrics", "alertmanager"),
    )
    return Component(
        name=NAME,
        order=50,
        start_timeout=studio.start_timeout_seconds,
        files={f"vmalert/rules/{name}.yml": Artifact.text(text) for name, text in files.items()},
        container=container,
        image=studio.images.vmalert,
        listens=(loopback(ports.vmalert, "http"),),
        health_url=f"http://127.0.0.1:{ports.vmalert}/health",
        validate=((PROGRAM, "-dryRun", f"-rule={RULES}"),),
        facts={"rules": {**rules.names(groups), recorded.GROUP: recorded.names()}},
    )
