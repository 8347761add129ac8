"""Every key of Vector's configuration that this stand-in implements, with Vector's defaults. Others are refused."""

from vector_standin.schema import Condition, Flag, ListOf, MapOf, Number, OneOf, Record, Text

INPUTS = ListOf(Text(), least=1)
SMALLEST_DISK_BUFFER = 268435488

SOURCES = OneOf(
    {
        "mqtt": Record(
            {
                "host": Text(),
                "port": (Number(1), 1883),
                "user": (Text(), None),
                "password": (Text(), None),
                "client_id": (Text(), None),
                "keep_alive": (Number(1), 60),
                "max_packet_size": (Number(1), 10240),
                "topic": (ListOf(Text(), one=True, least=1), ["vector"]),
                "topic_key": (Text(), "topic"),
            }
        ),
        "internal_metrics": Record({"scrape_interval_secs": (Number(0.1, fraction=True), 1.0)}),
    },
    "source",
)

REMAP = Record(
    {
        "inputs": INPUTS,
        "source": (Text(), None),
        "file": (Text(), None),
        "files": (ListOf(Text(), least=1), None),
        "drop_on_error": (Flag(), False),
        "drop_on_abort": (Flag(), True),
        "reroute_dropped": (Flag(), False),
    }
)
REDUCE = Record(
    {
        "inputs": INPUTS,
        "group_by": (ListOf(Text()), []),
        "expire_after_ms": (Number(1), 30000),
        "end_every_period_ms": (Number(1), None),
        "flush_period_ms": (Number(1), 1000),
        "merge_strategies": (MapOf(Text(("discard", "retain", "sum", "max", "min"))), {}),
    }
)
LOG_TO_METRIC = Record(
    {
        "inputs": INPUTS,
        "metrics": ListOf(
            OneOf(
                {
                    "counter": Record(
                        {
                            "field": Text(),
                            "name": (Text(), None),
                            "namespace": (Text(), None),
                            "tags": (MapOf(Text()), {}),
                            "increment_by_value": (Flag(), False),
                        }
                    )
                },
                "metric",
            ),
            least=1,
        ),
    }
)
THROTTLE = Record(
    {
        "inputs": INPUTS,
        "threshold": Number(1),
        "window_secs": Number(0.001, fraction=True),
        "key_field": (Text(), None),
    }
)
TRANSFORMS = OneOf(
    {
        "remap": REMAP,
        "route": Record({"inputs": INPUTS, "route": MapOf(Condition()), "reroute_unmatched": (Flag(), True)}),
        "reduce": REDUCE,
        "log_to_metric": LOG_TO_METRIC,
        "throttle": THROTTLE,
    },
    "transform",
)

FULL = (Text(("block", "drop_newest")), "block")
BUFFER = OneOf(
    {
        "memory": Record({"max_events": (Number(1), 500), "when_full": FULL}, "buffer key"),
        "disk": Record({"max_size": Number(SMALLEST_DISK_BUFFER), "when_full": FULL}, "buffer key"),
    },
    "buffer",
    default="memory",
)
REQUEST = Record(
    {
        "timeout_secs": (Number(1), 60),
        "retry_attempts": (Number(0), 2**63 - 1),
        "retry_initial_backoff_secs": (Number(1), 1),
        "retry_max_duration_secs": (Number(1), 30),
        "retry_jitter_mode": (Text(("Full", "None")), "Full"),
    }
)
SINKS = OneOf(
    {
        "influxdb_logs": Record(
            {
                "inputs": INPUTS,
                "endpoint": Text(),
                "database": Text(),
                "measurement": Text(),
                "tags": (ListOf(Text()), []),
                "encoding": (Record({"except_fields": (ListOf(Text()), [])}), {}),
                "batch": (
                    Record(
                        {
                            "max_bytes": (Number(1), 1_000_000),
                            "max_events": (Number(1), None),
                            "timeout_secs": (Number(0.01, fraction=True), 1.0),
                        }
                    ),
                    {},
                ),
                "request": (REQUEST, {}),
                "buffer": (BUFFER, {"type": "memory", "max_events": 500, "when_full": "block"}),
            }
        ),
        "prometheus_exporter": Record(
            {"inputs": INPUTS, "address": (Text(), "0.0.0.0:9598"), "flush_period_secs": (Number(1), 60)}
        ),
        "console": Record(
            {
                "inputs": INPUTS,
                "target": (Text(("stdout", "stderr")), "stdout"),
                "encoding": Record({"codec": Text(("json",))}),
            }
        ),
    },
    "sink",
)

SECRETS = OneOf(
    {"directory": Record({"path": Text(), "remove_trailing_whitespace": (Flag(), False)})}, "secret backend"
)
TEST = Record(
    {
        "name": Text(),
        "inputs": ListOf(
            OneOf(
                {
                    "vrl": Record({"insert_at": Text(), "source": Text()}),
                    "log": Record({"insert_at": Text(), "log_fields": MapOf(Text())}),
                    "raw": Record({"insert_at": Text(), "value": Text()}),
                },
                "type of test input",
                default="raw",
            ),
            least=1,
        ),
        "outputs": (
            ListOf(
                Record(
                    {
                        "extract_from": ListOf(Text(), one=True, least=1),
                        "conditions": (ListOf(Condition()), []),
                        "expected_event_count": (Number(0), None),
                    }
                )
            ),
            [],
        ),
        "no_outputs_from": (ListOf(Text()), []),
    }
)
CONFIG = Record(
    {
        "data_dir": (Text(), "/var/lib/vector/"),
        "expire_metrics_secs": (Number(1, fraction=True), 300),
        "api": (Record({"enabled": (Flag(), False), "address": (Text(), "127.0.0.1:8686")}), {}),
        "secret": (MapOf(SECRETS), {}),
        "sources": (MapOf(SOURCES), {}),
        "transforms": (MapOf(TRANSFORMS), {}),
        "sinks": (MapOf(SINKS), {}),
        "tests": (ListOf(TEST), []),
    },
    "option",
)
