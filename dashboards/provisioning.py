"""`provisioning`: devices that are being set up, and those that wait for them."""

from dashboards.frame import Dashboard, Row
from dashboards.panels import ANY, Query, Rules, lines, number, with_runbook
from dashboards.recorded import STUDIO
from dashboards.shown import grown, held, quantile, rate_by, share

WAITS = "provision_waits_total"
GOOD = f'{STUDIO},outcome=~"success|cached"'


def _elapsed(of: float) -> Query:
    return Query(quantile(of, "provision_wait_elapsed_seconds", "le, method"), f"{{{{method}}}} {of * 100:g} %")


def provisioning(rules: Rules) -> Dashboard:
    """Waits by how they ended, their time, state messages, ThingsBoard's protocol."""
    cards = [
        with_runbook(
            number(
                "Waiting now", "Waits in progress.", "short", Query(f"sum(provision_waits_in_progress{{{STUDIO}}})")
            ),
            rules,
            "ProvisioningWaitsStuck",
        ),
        with_runbook(
            number(
                "Waits that ended well",
                "Share of the time shown; a remembered state counts as well.",
                "percentunit",
                Query(share(grown(WAITS, "outcome", GOOD), grown(WAITS, "outcome"))),
                none="nobody waited",
            ),
            rules,
            "ProvisioningFailureRatio",
        ),
        with_runbook(
            number(
                "Timeouts",
                "Waits of the last hour that ended without an answer.",
                "short",
                Query(f'sum(increase({WAITS}{{{STUDIO},outcome="timeout"}}[1h]))'),
                steps=ANY,
                none="none",
                decimals=0,
            ),
            rules,
            "ProvisioningTimeouts",
            "ProjectPlantProvisioningTimeouts",
        ),
        number(
            "Devices provisioned",
            "By ThingsBoard's protocol, within the time shown.",
            "short",
            Query(grown("thingsboard_provision_total", "transport, result", f'{STUDIO},result="SUCCESS"')),
            none="none",
            decimals=0,
        ),
    ]
    charts = [
        lines(
            "Waits by outcome",
            "Waits a second, by how they ended.",
            "ops",
            Query(rate_by(WAITS, "outcome"), "{{outcome}}"),
            Query(rate_by("provision_wait_starts_total", "studio"), "begun"),
            zero=True,
        ),
        with_runbook(
            lines(
                "Time until a device answers",
                "Median and 95th percentile of the waits that ended well, by method.",
                "s",
                _elapsed(0.5),
                _elapsed(0.95),
                none="no device answered",
                zero=True,
            ),
            rules,
            "ProvisioningSlow",
        ),
        with_runbook(
            lines(
                "State messages",
                "Messages on the plants' state topics a second; retained ones are old news that the broker kept.",
                "ops",
                Query(
                    rate_by("provision_state_messages_total", "retained, created"),
                    "retained {{retained}}, new {{created}}",
                ),
                zero=True,
            ),
            rules,
            "ProvisioningStaleRetainedOnly",
        ),
        lines(
            "Waiters that were told",
            "Waits a second that a state message ended.",
            "ops",
            Query(rate_by("provision_waiters_notified_total", "studio"), "told"),
            zero=True,
        ),
        with_runbook(
            lines(
                "ThingsBoard's protocol",
                "Provisioning requests a second, by transport and result.",
                "reqps",
                Query(rate_by("thingsboard_provision_total", "transport, result"), "{{transport}} {{result}}"),
                none="nobody asked",
                zero=True,
            ),
            rules,
            "ProvisioningRefused",
        ),
        with_runbook(
            lines(
                "Event log",
                "Lines that wait to be written, and lines a second that could not be.",
                "short",
                Query(held("max", "provision_event_log_queue_lines"), "waiting"),
                Query(rate_by("provision_event_log_failures_total", "studio"), "failed a second"),
                zero=True,
            ),
            rules,
            "HubEventLogFailing",
        ),
    ]
    return Dashboard(
        name="provisioning",
        title="Provisioning",
        description="Devices that are set up: waits, their outcome and time, state messages, ThingsBoard's protocol.",
        audience="system",
        rows=[Row("Now", cards), Row("Over time", charts)],
    )
