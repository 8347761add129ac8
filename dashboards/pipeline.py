"""`pipeline`: from the broker to storage to the alerts, each part and each component of Vector."""

from dashboards import stack, vector
from dashboards.frame import Dashboard, Row
from dashboards.panels import ANY, OFF_ON, PanelBuilder, Query, Rules, above, number, with_runbook
from dashboards.recorded import STUDIO
from dashboards.shown import grown


def _cards(rules: Rules) -> list[PanelBuilder]:
    return [
        with_runbook(
            number(
                "Parts up",
                "Share of the parts whose metrics answer.",
                "percentunit",
                Query(f"avg(up{{{STUDIO}}})"),
                steps=OFF_ON,
                width=4,
            ),
            rules,
            "TargetDown",
            "VectorDown",
        ),
        with_runbook(
            number(
                "Canary",
                "How old the newest test message is that came all the way through.",
                "s",
                Query(f"min(time() - last_over_time(pipeline_canary_sent_seconds{{{STUDIO}}}[1h]))"),
                steps=above(rules, "PipelineCanaryMissing"),
                width=4,
                decimals=0,
            ),
            rules,
            "PipelineCanaryMissing",
        ),
        number(
            "Messages",
            "Received from the broker, a second.",
            "cps",
            Query(
                f'sum(rate(vector_component_received_events_total{{{STUDIO},component_type="mqtt"}}[$__rate_interval]))'
            ),
            width=4,
        ),
        with_runbook(
            number(
                "Unusable",
                "Messages of the last 15 minutes that could not be used, of the kind and for the reason that has most.",
                "short",
                Query(f"max(sum by (kind, reason) (increase(vector_dead_letters_total{{{STUDIO}}}[15m])))"),
                steps=above(rules, "DeadLetters", "orange"),
                width=4,
                none="none",
                decimals=0,
            ),
            rules,
            "DeadLetters",
        ),
        with_runbook(
            number(
                "Dropped",
                "Events that a sink threw away within the time shown.",
                "short",
                Query(
                    grown(
                        "vector_component_discarded_events_total",
                        "component_id, component_kind, intentional",
                        f'{STUDIO},intentional="false",component_kind="sink"',
                    )
                ),
                steps=ANY,
                width=4,
                none="none",
                decimals=0,
            ),
            rules,
            "VectorDropped",
        ),
        number(
            "Stored",
            "Samples in VictoriaMetrics.",
            "short",
            Query(f'sum(vm_rows{{{STUDIO},type=~"storage/.*"}})'),
            width=4,
        ),
    ]


def pipeline(rules: Rules) -> Dashboard:
    """In, out, errors, drops, buffers, lag of Vector's components; storage; alerting; the parts themselves."""
    return Dashboard(
        name="pipeline",
        title="Pipeline",
        description="From the broker to storage to the alerts: what flows, what waits, what is lost.",
        audience="system",
        rows=[
            Row("Now", _cards(rules)),
            Row("Vector", vector.panels(rules)),
            Row("Storage", stack.storage(rules)),
            Row("Alerting", stack.alerting(rules)),
            Row("Parts", stack.parts(rules)),
        ],
        hours=6,
    )
