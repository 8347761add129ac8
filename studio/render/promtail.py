"""Promtail's configurations: the provisioning events, and the journal with the hub's log.

For installations that still have it: Promtail's support ended on 2 March 2026, Alloy does the same (render/alloy.py).
"""

from typing import Any, Final

from studio.bundle import Artifact
from studio.model import Studio
from studio.render.templates import fill

PROVISIONING: Final = "promtail-provisioning.yaml"
JOURNAL: Final = "promtail-journal.yaml"


def _filled(name: str, **values: Any) -> Artifact:
    return Artifact.text(fill(f"promtail/{name}", **values))


def render(studio: Studio) -> dict[str, Artifact]:
    """promtail/*.yaml: scrape_configs, to be merged into Promtail's own file."""
    return {
        f"promtail/{PROVISIONING}": _filled(PROVISIONING, events=studio.logs.provisioning_events),
        f"promtail/{JOURNAL}": _filled(JOURNAL, studio=studio.name),
    }
