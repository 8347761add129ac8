"""The part of `pipeline` that is about Vector."""

from dashboards.panels import PanelBuilder, Query, Rules, above, lines, with_runbook
from dashboards.shown import held, mean, rate_by, recorded


def panels(rules: Rules) -> list[PanelBuilder]:
    """In, out, errors, drops, buffers, lag of each component."""
    by = "component_id"
    return [
        lines(
            "In",
            "Events a second that each of Vector's components takes.",
            "cps",
            Query(rate_by("vector_component_received_events_total", by), "{{component_id}}"),
            zero=True,
        ),
        with_runbook(
            lines(
                "Out",
                "Events a second that each of Vector's components gives.",
                "cps",
                Query(rate_by("vector_component_sent_events_total", by), "{{component_id}}"),
                zero=True,
            ),
            rules,
            "SinkStalled",
        ),
        with_runbook(
            lines(
                "Errors",
                "Errors a second of each component, by their type.",
                "cps",
                Query(
                    rate_by("vector_component_errors_total", "component_id, error_type"),
                    "{{component_id}} {{error_type}}",
                ),
                none="none",
                zero=True,
            ),
            rules,
            "VectorErrors",
            "BrokerDown",
        ),
        with_runbook(
            lines(
                "Drops",
                "Events a second thrown away: `intentional` by a rule of ours, else lost.",
                "cps",
                Query(
                    rate_by("vector_component_discarded_events_total", "component_id, component_kind, intentional"),
                    "{{component_id}} intentional={{intentional}}",
                ),
                none="none",
                zero=True,
            ),
            rules,
            "VectorDropped",
        ),
        lines(
            "Buffers",
            "Events that wait in each component's buffer.",
            "short",
            Query(held("sum", "vector_buffer_size_events", "component_id"), "{{component_id}}"),
            zero=True,
        ),
        lines(
            "Lag by component",
            "How long an event is in each transform, a sink's request takes, and a source waits to hand events on. "
            "`flame_second` gathers for two seconds or more.",
            "s",
            Query(held("max", "vector_component_latency_mean_seconds", "component_id"), "{{component_id}}"),
            Query(mean("vector_http_client_rtt_seconds", "component_id"), "{{component_id}} request"),
            Query(mean("vector_source_send_batch_latency_seconds", "component_id"), "{{component_id}} hands on"),
            zero=True,
        ),
        with_runbook(
            lines(
                "Lag of buffers",
                "How many seconds' worth of events have waited before each sink for all of five minutes.",
                "s",
                Query(
                    f"{recorded('component_id:vector_buffer_size_events:min5m')} / "
                    f"{rate_by('vector_buffer_received_events_total', by)}",
                    "{{component_id}}",
                ),
                steps=above(rules, "PipelineLag"),
                none="nothing came",
                zero=True,
            ),
            rules,
            "PipelineLag",
        ),
        with_runbook(
            lines(
                "Lag from end to end",
                "How old the newest test message is that came all the way from the broker to storage; one is sent each "
                "ten seconds.",
                "s",
                Query(recorded("studio:pipeline_canary_sent_seconds:age"), "canary"),
                steps=above(rules, "PipelineCanaryMissing"),
                zero=True,
            ),
            rules,
            "PipelineCanaryMissing",
        ),
        with_runbook(
            lines(
                "Unusable messages",
                "Messages a minute by kind and reason.",
                "short",
                Query(f"60 * {rate_by('vector_dead_letters_total', 'kind, reason')}", "{{kind}} {{reason}}"),
                none="none",
                zero=True,
            ),
            rules,
            "DeadLetters",
        ),
    ]
