"""vmalert's group of recorded series: what dashboards read instead of the parts' own when much time is shown."""

from typing import Any, Final

from dashboards.recorded import EVERY_SECONDS
from dashboards.recordings import CATALOGUE
from studio.model import Studio
from studio.render.escape import metricsql
from studio.render.yaml_text import to_yaml

GROUP: Final = "recorded"


def names() -> list[str]:
    """Of all recorded series."""
    return list(CATALOGUE)


def rules(studio: Studio) -> list[dict[str, Any]]:
    """The recording rules; what a studio does not have, it does not record."""
    quoted = metricsql(studio.name)
    return [{"record": one.name, "expr": one.expr.replace("<<studio>>", quoted)} for one in CATALOGUE.values()]


def rule_file(studio: Studio) -> str:
    """The group as vmalert reads it."""
    return to_yaml(
        {"groups": [{"name": GROUP, "interval": f"{EVERY_SECONDS}s", "rules": rules(studio)}]},
        f"From dashboards/recordings.py, for the dashboards of studio {studio.name}.",
    )
