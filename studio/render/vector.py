"""Vector: from the broker's topics to VictoriaMetrics' series, as vector.yaml and its VRL programs.

The configuration is built as data and dumped, never as text; an inventory's free texts (labels) are only in the VRL
programs `known_<kind>.vrl`, as escaped literals. Options and behaviour are those of Vector 0.57.
"""

from typing import Any, Final

from studio.bundle import Artifact
from studio.model import Studio
from studio.paths import FILES
from studio.render import vector_tests
from studio.render.templates import static
from studio.render.vector_known import known
from studio.render.yaml_text import Quoted, to_yaml

CONFIG: Final = "/etc/vector"
DATA: Final = "/var/lib/vector"
DATABASE: Final = "sensors"
SECRET: Final = "broker-vector"  # noqa: S105 - a secret's name
MAX_PACKET_BYTES: Final = 2 * 1024 * 1024
"""A bigger packet cuts the connection, and at QoS 1 is sent again for ever: the broker must allow no more than this.

Far more than any device sends, so that what is too long for a message of ours is counted (payload.vrl), not cut off.
"""
SMALLEST_BUFFER: Final = 268435488
FURNACE_BUFFER: Final = 1 << 30
KINDS: Final = ("furnace", "flame", "camera", "plant", "canary")
STEPS: Final[dict[str, tuple[str, ...]]] = {
    "furnace": ("known_furnace", "device", "payload", "furnace"),
    "flame": ("known_flame", "device", "payload", "flame"),
    "camera": ("known_camera", "device", "payload", "camera_limits", "numbers", "camera"),
    "plant": ("known_plant", "device", "payload", "plant_limits", "numbers", "plant"),
    "canary": ("known_canary", "payload", "canary"),
}


def _filters(studio: Studio) -> dict[str, str]:
    return {kind: getattr(studio.topics, kind).replace("{id}", "+") for kind in KINDS}


def _is_topic(pattern: str) -> str:
    """A VRL condition that the event's topic fits a pattern such as furnace/{id}/telemetry."""
    regex = "/".join(
        "[^/]+" if level == "{id}" else "".join(c if c.isalnum() or c == "_" else f"\\x{{{ord(c):x}}}" for c in level)
        for level in pattern.split("/")
    )
    return f"match(string(.topic) ?? \"\", r'\\A{regex}\\z')"


def _remap(inputs: list[str], *programs: str) -> dict[str, Any]:
    return {
        "type": "remap",
        "inputs": inputs,
        "files": [f"{CONFIG}/vrl/{name}.vrl" for name in programs],
        "drop_on_error": True,
        "drop_on_abort": True,
        "reroute_dropped": True,
    }


def _transforms(studio: Studio) -> dict[str, Any]:
    by_kind = {
        "type": "route",
        "inputs": ["broker"],
        "route": {kind: _is_topic(getattr(studio.topics, kind)) for kind in KINDS},
    }
    seconds = {
        # By the second of the sample's own time, so a queue that is caught up on gives the same means as live data.
        "type": "reduce",
        "inputs": ["flame"],
        "group_by": ["furnace", "second"],
        "expire_after_ms": 2000,
        "flush_period_ms": 500,
        "merge_strategies": {
            "timestamp": "discard",
            "second": "discard",
            "flame_voltage_sum": "sum",
            "flame_voltage_min": "min",
            "flame_voltage_max": "max",
            "flame_voltage_samples": "sum",
        },
    }
    count = {
        "type": "log_to_metric",
        "inputs": ["dead_letter"],
        "metrics": [
            {
                "type": "counter",
                "field": "reason",
                "name": "dead_letters_total",
                "namespace": "vector",
                "tags": {"reason": "{{ reason }}", "kind": "{{ kind }}"},
            }
        ],
    }
    sample = {
        "type": "throttle",
        "inputs": ["dead_letter"],
        "threshold": 5,
        "window_secs": 60,
        "key_field": "{{ kind }} {{ reason }}",
    }
    dropped = [*(f"{kind}.dropped" for kind in KINDS), "flame_mean.dropped"]
    return {
        "by_kind": by_kind,
        **{kind: _remap([f"by_kind.{kind}"], *STEPS[kind]) for kind in KINDS},
        "flame_second": seconds,
        "flame_mean": _remap(["flame_second"], "flame_mean"),
        "dead_letter": {
            "type": "remap",
            "inputs": ["by_kind._unmatched", *dropped],
            "file": f"{CONFIG}/vrl/dead_letter.vrl",
        },
        "dead_letter_count": count,
        "dead_letter_sample": sample,
    }


def _series(studio: Studio, measurement: str, tags: list[str], inputs: list[str], buffer: int) -> dict[str, Any]:
    return {
        "type": "influxdb_logs",
        "inputs": inputs,
        "endpoint": f"http://127.0.0.1:{studio.ports.victoriametrics}",
        "database": DATABASE,
        "measurement": measurement,
        "tags": ["studio", *tags],
        "encoding": {"except_fields": ["metric_type", "source_type", "message"]},
        "buffer": {"type": "disk", "max_size": buffer, "when_full": "block"},
        # The default lets the back-off grow to 30 s, which is how long data would stay away after an outage.
        "request": {"retry_max_duration_secs": 3, "timeout_secs": 15},
    }


def _sinks(studio: Studio) -> dict[str, Any]:
    return {
        "furnace_series": _series(studio, "furnace", ["furnace", "label"], ["furnace", "flame_mean"], FURNACE_BUFFER),
        "camera_series": _series(studio, "camera", ["camera", "label"], ["camera"], SMALLEST_BUFFER),
        "plant_series": _series(studio, "plant", ["plant", "label"], ["plant"], SMALLEST_BUFFER),
        "canary_series": _series(studio, "pipeline", [], ["canary"], SMALLEST_BUFFER),
        "metrics": {
            "type": "prometheus_exporter",
            "inputs": ["internal", "dead_letter_count"],
            "address": f"127.0.0.1:{studio.ports.vector_metrics}",
            # A counter nothing updates for this long is forgotten: the default minute would reset the dead letters'.
            "flush_period_secs": 86400,
        },
        "dead_letter_log": {
            "type": "console",
            "inputs": ["dead_letter_sample"],
            "encoding": {"codec": "json"},
        },
    }


def config(studio: Studio) -> dict[str, Any]:
    """The content of vector.yaml as data."""
    return {
        "data_dir": DATA,
        # As for the exporter: a source that fell silent five minutes ago must still be seen to have been silent.
        "expire_metrics_secs": 86400,
        "api": {"enabled": True, "address": f"127.0.0.1:{studio.ports.vector_api}"},
        "secret": {"s": {"type": "directory", "path": "/run/secrets", "remove_trailing_whitespace": True}},
        "sources": {
            "broker": {
                "type": "mqtt",
                "host": "127.0.0.1",
                "port": studio.ports.mqtt,
                "user": "vector",
                "password": Quoted(f"SECRET[s.{SECRET}]"),
                # Without one, every start would leave an orphan session at the broker.
                "client_id": f"vector-{studio.name}",
                "max_packet_size": MAX_PACKET_BYTES,
                "topic": list(_filters(studio).values()),
                "topic_key": "topic",
            },
            "internal": {"type": "internal_metrics"},
        },
        "transforms": _transforms(studio),
        "sinks": _sinks(studio),
    }


def _yaml(data: dict[str, Any]) -> Artifact:
    return Artifact.text(to_yaml(data))


def render_vector(studio: Studio) -> dict[str, Artifact]:
    """Vector's files, by their path in the generation; `vector/` is mounted at /etc/vector."""
    programs = {path.name: Artifact(static(path)) for path in sorted((FILES / "vrl").glob("*.vrl"))}
    inventory = {f"{name}.vrl": Artifact.text(text) for name, text in known(studio).items()}
    return {
        "vector/vector.yaml": _yaml(config(studio)),
        "vector/tests.yaml": _yaml({"tests": vector_tests.tests(studio)}),
        **{f"vector/vrl/{name}": artifact for name, artifact in {**programs, **inventory}.items()},
    }
