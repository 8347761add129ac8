"""`liveview_health`: how quick the hub's live page and its HTTP are, and how many look at it."""

from dashboards.frame import Dashboard, Row
from dashboards.panels import OFF_ON, Query, Rules, distribution, lines, number, with_runbook
from dashboards.recorded import STUDIO
from dashboards.shown import grown, held, mean, quantile, rate_by


def _two(metric: str) -> tuple[Query, Query]:
    return Query(quantile(0.5, metric), "half"), Query(quantile(0.95, metric), "95 %")


def liveview_health(rules: Rules) -> Dashboard:
    """The page's sessions, latencies, backlog and broken streams."""
    cards = [
        number(
            "Pages open",
            "Browsers connected now.",
            "short",
            Query(f"sum(live_sessions{{{STUDIO}}})"),
            none="hub is down",
        ),
        number(
            "Time to first event",
            "95th percentile over the time shown, from the page's delivery to its first event.",
            "s",
            Query(f"histogram_quantile(0.95, {grown('live_mount_duration_seconds_bucket', 'le', keep='le')})"),
        ),
        number(
            "Backlog",
            "Events queued for the slowest page.",
            "short",
            Query(f"max(live_queue_events{{{STUDIO}}})"),
            none="hub is down",
        ),
        with_runbook(
            number(
                "Hub",
                "Whether VictoriaMetrics can scrape the hub.",
                "bool_on_off",
                Query(f'min(up{{{STUDIO},job="hub"}})'),
                steps=OFF_ON,
            ),
            rules,
            "HubDown",
        ),
    ]
    charts = [
        lines(
            "Making a view",
            "Time to render one view of the page.",
            "s",
            *_two("live_render_duration_seconds"),
            zero=True,
        ),
        lines(
            "Mounting",
            "From the page's delivery to its first event.",
            "s",
            *_two("live_mount_duration_seconds"),
            zero=True,
        ),
        lines("Connecting", "Accepting an event stream.", "s", *_two("live_connect_duration_seconds"), zero=True),
        lines(
            "Pages open",
            "Connected event streams.",
            "short",
            Query(held("sum", "live_sessions"), "pages"),
            zero=True,
        ),
        lines(
            "Events waiting",
            "Events queued for the slowest page, lines waiting for the log, writes waiting for the database.",
            "short",
            Query(held("max", "live_queue_events"), "slowest page"),
            Query(held("max", "hub_log_queue_lines"), "log"),
            Query(held("max", "hub_database_queue_writes"), "database"),
            zero=True,
        ),
        lines(
            "Broken streams",
            "Event streams a second that broke off, by reason; a page that is too slow is reset.",
            "ops",
            Query(rate_by("live_streaming_errors_total", "reason"), "{{reason}}"),
            none="none so far",
            zero=True,
        ),
        lines(
            "Event loop",
            "How late the hub's timers are: everything in the hub is at least as late.",
            "s",
            Query(quantile(0.95, "hub_event_loop_lag_seconds"), "95 %"),
            Query(quantile(0.99, "hub_event_loop_lag_seconds"), "99 %"),
            zero=True,
        ),
        lines(
            "Answers by route",
            "Mean of the time to an answer.",
            "ms",
            Query(mean("http_request_latency_ms", "route"), "{{route}}"),
            zero=True,
        ),
        with_runbook(
            lines(
                "Requests",
                "Requests a second by route.",
                "reqps",
                Query(rate_by("http_requests_total", "route"), "{{route}}"),
                zero=True,
            ),
            rules,
            "HubErrors",
            "HubRefusesMany",
            "HubLogsErrors",
        ),
        distribution(
            "Time to an answer",
            "Requests a second, by how long they took.",
            "ms",
            Query(rate_by("http_request_latency_ms_bucket", "le")),
        ),
    ]
    return Dashboard(
        name="liveview_health",
        title="Live page",
        description="The hub's live page and its HTTP: latency, sessions, backlog.",
        audience="system",
        rows=[Row("Now", cards), Row("Over time", charts)],
    )
