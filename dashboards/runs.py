"""`runner_overview` and `command_throughput`: commands sent to devices as runs, and what they give back."""

from dashboards.frame import Dashboard, Row
from dashboards.panels import Query, Rules, above, distribution, lines, number, with_runbook
from dashboards.recorded import STUDIO
from dashboards.shown import grown, held, quantile, rate_by, share

FAILED = grown("runner_error_total", "status")
BEGUN = grown("runner_start_total", "status")


def runner_overview(rules: Rules) -> Dashboard:
    """How runs go: how many, how long, how many fail."""
    cards = [
        number(
            "Active runs", "Runs that have begun and not ended.", "short", Query(f"sum(hub_runs_active{{{STUDIO}}})")
        ),
        number("Runs begun", "Within the time shown.", "short", Query(BEGUN), decimals=0),
        with_runbook(
            number(
                "Runs that failed",
                "Share of the runs begun in the time shown that ended badly or timed out.",
                "percentunit",
                Query(share(FAILED, BEGUN)),
                steps=above(rules, "RunnerErrors"),
                none="no runs",
            ),
            rules,
            "RunnerErrors",
        ),
        number(
            "Bytes of the last run",
            "Output of the run that ended last, the largest over sites and protocols.",
            "bytes",
            Query(f"max(runner_bytes_processed{{{STUDIO}}})"),
        ),
    ]
    charts = [
        distribution(
            "Duration of runs",
            "From command to end: runs a second, by how long they took.",
            "s",
            Query(rate_by("runner_duration_seconds_bucket", "le")),
        ),
        lines(
            "Duration, half and nearly all",
            "Median and 95th percentile of the time from command to end.",
            "s",
            Query(quantile(0.5, "runner_duration_seconds"), "half"),
            Query(quantile(0.95, "runner_duration_seconds"), "95 %"),
            zero=True,
        ),
        lines(
            "Runs begun and ended",
            "Runs a second by how they ended; `started` are those that began.",
            "ops",
            Query(rate_by("runner_start_total", "status"), "{{status}}"),
            Query(rate_by("runner_stop_total", "status"), "{{status}}"),
            Query(rate_by("runner_error_total", "status"), "{{status}}"),
            zero=True,
        ),
        with_runbook(
            lines(
                "Errors by site and protocol",
                "Runs a second that ended badly or timed out.",
                "ops",
                Query(
                    rate_by("runner_error_total", "device_site, protocol, status"),
                    "{{device_site}} {{protocol}} {{status}}",
                ),
                none="no errors",
                zero=True,
            ),
            rules,
            "RunnerErrors",
        ),
        lines(
            "Bytes processed",
            "Output of the last run that ended, by site and protocol.",
            "bytes",
            Query(held("max", "runner_bytes_processed", "device_site, protocol"), "{{device_site}} {{protocol}}"),
            zero=True,
        ),
    ]
    return Dashboard(
        name="runner_overview",
        title="Runner",
        description="Commands to devices: active, duration, errors, bytes.",
        audience="system",
        rows=[Row("Now", cards), Row("Over time", charts)],
    )


def command_throughput(_rules: Rules) -> Dashboard:
    """How much goes through: runs, chunks, bytes."""
    cards = [
        number(
            "Runs a minute",
            "Made within the last five minutes.",
            "short",
            Query(f"sum(increase(runs_created_total{{{STUDIO}}}[5m])) / 5"),
            width=8,
            decimals=1,
        ),
        number(
            "Chunks a minute",
            "Chunks of output stored, over the last five minutes.",
            "short",
            Query(f"sum(increase(run_chunks_total{{{STUDIO}}}[5m])) / 5"),
            width=8,
            decimals=1,
        ),
        number(
            "Bandwidth",
            "Output stored, over the last five minutes.",
            "Bps",
            Query(f"sum(increase(run_chunk_bytes_total{{{STUDIO}}}[5m])) / 300"),
            width=8,
        ),
    ]
    charts = [
        lines(
            "Runs by site",
            "Runs made a second.",
            "ops",
            Query(rate_by("runs_created_total", "device_site"), "{{device_site}}"),
            zero=True,
        ),
        lines(
            "Runs by protocol",
            "Runs made a second, by the way the command took.",
            "ops",
            Query(rate_by("runs_created_total", "protocol"), "{{protocol}}"),
            zero=True,
        ),
        lines(
            "Busiest devices",
            "The ten devices with the most runs. The hub counts the first fifty by name, the rest as `other`.",
            "ops",
            Query(f"topk(10, {rate_by('runs_by_device_total', 'device_id')})", "{{device_id}}"),
            zero=True,
        ),
        lines(
            "Chunks a minute",
            "Chunks of output stored, by site and protocol.",
            "short",
            Query(f"60 * {rate_by('run_chunks_total', 'device_site, protocol')}", "{{device_site}} {{protocol}}"),
            zero=True,
        ),
        lines(
            "Bandwidth of output",
            "Bytes of output stored a second, by site and protocol.",
            "Bps",
            Query(rate_by("run_chunk_bytes_total", "device_site, protocol"), "{{device_site}} {{protocol}}"),
            zero=True,
        ),
        lines(
            "Bytes of a run",
            "Median and 95th percentile of a run's output.",
            "bytes",
            Query(quantile(0.5, "run_bytes"), "half"),
            Query(quantile(0.95, "run_bytes"), "95 %"),
            zero=True,
        ),
        lines(
            "Handing commands to FCM",
            "95th percentile of the time that Google's service took, by action.",
            "ms",
            Query(quantile(0.95, "fcm_dispatch_latency_ms", "le, action"), "{{action}}"),
            none="no command went by FCM",
            zero=True,
        ),
    ]
    return Dashboard(
        name="command_throughput",
        title="Commands",
        description="Runs, chunks and bytes by site, protocol and device.",
        audience="system",
        rows=[Row("Now", cards), Row("Over time", charts)],
    )
