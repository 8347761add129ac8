"""The part of `pipeline` that is about Vector."""

from dashboards.panels import STUDIO, PanelBuilder, Query, Rules, lines, rate_by, with_runbook

OURS = f'{STUDIO},component_id!="internal"'


def panels(rules: Rules) -> list[PanelBuilder]:
    """In, out, errors, drops, buffers, lag of each component."""
    by = "component_id"
    return [
        lines(
            "In",
            "Events a second that each of Vector's components takes.",
            "cps",
            Query(rate_by("vector_component_received_events_total", by, OURS), "{{component_id}}"),
            zero=True,
        ),
        with_runbook(
            lines(
                "Out",
                "Events a second that each of Vector's components gives.",
                "cps",
                Query(rate_by("vector_component_sent_events_total", by, OURS), "{{component_id}}"),
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
                    rate_by("vector_component_discarded_events_total", "component_id, intentional"),
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
            Query(f"sum by (component_id) (vector_buffer_events{{{STUDIO}}})", "{{component_id}}"),
            zero=True,
        ),
        lines(
            "Lag",
            "How old the newest test message is that came all the way from the broker to storage.",
            "s",
            Query(f"min(time() - last_over_time(pipeline_canary_sent_seconds{{{STUDIO}}}[1h]))", "canary"),
            zero=True,
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
