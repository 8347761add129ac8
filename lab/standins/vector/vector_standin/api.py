"""The API: Vector's `/health`, and what the stand-in's own `tap` and `top` ask for."""

import json
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from vector_standin.exporter import Answer
from vector_standin.tapping import Taps
from vector_standin.telemetry import Telemetry

TAP, COMPONENTS = "/stand-in/tap", "/stand-in/components"
COUNTED = {
    "component_received_events_total": "events_in",
    "component_sent_events_total": "events_out",
    "component_received_bytes_total": "bytes_in",
    "component_sent_bytes_total": "bytes_out",
    "component_errors_total": "errors",
}


def answer(path: str, serving: Callable[[], bool], taps: Taps, telemetry: Telemetry) -> Answer:
    """Status, content type, body of a path with its query."""
    asked = urlsplit(path)
    if asked.path == TAP:
        return 200, "application/x-ndjson", taps.lines(parse_qs(asked.query))
    if asked.path == COMPONENTS:
        return 200, "application/json", json.dumps(components(telemetry)).encode()
    if asked.path != "/health":
        return 404, "text/plain", b""
    return (200, "application/json", b'{"ok":true}') if serving() else (503, "application/json", b'{"ok":false}')


def components(telemetry: Telemetry) -> dict[str, dict[str, str | float]]:
    """What each component has counted so far, by its id."""
    found: dict[str, dict[str, str | float]] = {}
    for metric in telemetry.metrics():
        tags = dict(metric.tags)
        if metric.name in COUNTED and "component_id" in tags:
            start = {
                "kind": tags["component_kind"],
                "type": tags["component_type"],
                **dict.fromkeys(COUNTED.values(), 0.0),
            }
            own = found.setdefault(tags["component_id"], start)
            own[COUNTED[metric.name]] = float(own[COUNTED[metric.name]]) + metric.value
    return found
