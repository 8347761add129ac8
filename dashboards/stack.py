"""The part of `pipeline` that is about storage, alerting, and the parts as processes."""

from dashboards.panels import PanelBuilder, Query, Rules, lines, with_runbook
from dashboards.shown import held, mean, quantile, rate_by, recorded


def storage(rules: Rules) -> list[PanelBuilder]:
    """What VictoriaMetrics takes, rejects and keeps."""
    return [
        lines(
            "Samples",
            "Samples a second that VictoriaMetrics takes, by protocol.",
            "cps",
            Query(rate_by("vm_rows_inserted_total", "type"), "{{type}}"),
            zero=True,
        ),
        with_runbook(
            lines(
                "Rejected samples",
                "Samples a second that VictoriaMetrics ignored, by reason.",
                "cps",
                Query(rate_by("vm_rows_ignored_total", "reason"), "{{reason}}"),
                none="none",
                zero=True,
            ),
            rules,
            "RowsRejected",
        ),
        lines(
            "Lag of storing",
            "Mean time that VictoriaMetrics takes for a request with samples.",
            "s",
            Query(mean("vminsert_request_duration_seconds", "studio"), "a request"),
            zero=True,
        ),
        lines(
            "Samples that wait",
            "Taken, but not yet seen by queries.",
            "short",
            Query(held("max", "vm_pending_rows"), "waiting"),
            zero=True,
        ),
        lines(
            "Size on disk",
            "Of all samples, and of their index.",
            "bytes",
            Query(held("sum", "vm_data_size_bytes", "type"), "{{type}}"),
            zero=True,
        ),
        with_runbook(
            lines(
                "Space",
                "Free where VictoriaMetrics stores; below the limit it stores nothing more.",
                "bytes",
                Query(held("min", "vm_free_disk_space_bytes"), "free"),
                Query(held("max", "vm_free_disk_space_limit_bytes"), "limit"),
                zero=True,
            ),
            rules,
            "StorageReadOnly",
        ),
        lines(
            "Series",
            "Series that had samples within the last hour.",
            "short",
            Query(held("max", "vm_cache_entries"), "active"),
            zero=True,
        ),
    ]


def alerting(rules: Rules) -> list[PanelBuilder]:
    """What fires, what is evaluated, what is delivered."""
    return [
        with_runbook(
            lines(
                "Alerts",
                "How many alerts fire, by type; `Watchdog`, which always does, is one of system's.",
                "short",
                Query(recorded("type:ALERTS:count"), "{{type}}"),
                none="none",
                zero=True,
            ),
            rules,
            "Watchdog",
        ),
        with_runbook(
            lines(
                "Evaluations",
                "Rule evaluations a second, and how many fail.",
                "ops",
                Query(rate_by("vmalert_execution_total", "studio"), "all"),
                Query(rate_by("vmalert_execution_errors_total", "studio"), "failed"),
                zero=True,
            ),
            rules,
            "RulesFailing",
        ),
        with_runbook(
            lines(
                "Lag of evaluation",
                "Mean time that an evaluation of each group of rules takes; one that takes longer than the group's "
                "interval makes others be missed.",
                "s",
                Query(mean("vmalert_iteration_duration_seconds", "group"), "{{group}}"),
                Query(rate_by("vmalert_iteration_missed_total", "group"), "{{group}} missed a second"),
                zero=True,
            ),
            rules,
            "RulesFailing",
        ),
        lines(
            "Lag of delivery",
            "Mean time that Alertmanager needs to hand a message over.",
            "s",
            Query(mean("alertmanager_notification_latency_seconds", "integration"), "{{integration}}"),
            none="none sent",
            zero=True,
        ),
        with_runbook(
            lines(
                "Notifications",
                "Messages a second that Alertmanager sends, and how many fail.",
                "ops",
                Query(rate_by("alertmanager_notifications_total", "integration"), "{{integration}}"),
                Query(rate_by("alertmanager_notifications_failed_total", "integration"), "{{integration}} failed"),
                zero=True,
            ),
            rules,
            "DeliveryFailing",
        ),
    ]


def parts(rules: Rules) -> list[PanelBuilder]:
    """Each part as a process."""
    return [
        with_runbook(
            lines(
                "Up",
                "1 while a part's metrics answer.",
                "short",
                Query(held("min", "up", "job"), "{{job}}"),
                zero=True,
            ),
            rules,
            "TargetDown",
            "HubDown",
        ),
        with_runbook(
            lines(
                "Age",
                "Time since each part started: a saw means restarts.",
                "s",
                Query(f"time() - {held('max', 'process_start_time_seconds', 'job')}", "{{job}}"),
                zero=True,
            ),
            rules,
            "ServiceRestarted",
            "CrashLoop",
        ),
        lines(
            "Memory",
            "Resident memory of each part.",
            "bytes",
            Query(held("max", "process_resident_memory_bytes", "job"), "{{job}}"),
            zero=True,
        ),
        lines(
            "Processor",
            "Cores that each part uses.",
            "short",
            Query(rate_by("process_cpu_seconds_total", "job"), "{{job}}"),
            zero=True,
        ),
        with_runbook(
            lines(
                "Hub and broker",
                "1 while the hub is connected to the broker; messages that wait in the hub.",
                "short",
                Query(held("min", "hub_mqtt_connected"), "connected"),
                Query(held("max", "hub_mqtt_queue_messages"), "waiting"),
                zero=True,
            ),
            rules,
            "HubBrokerLost",
        ),
        lines(
            "Lag of the hub",
            "How late the hub's timers are: everything in the hub is at least as late.",
            "s",
            Query(quantile(0.95, "hub_event_loop_lag_seconds"), "95 %"),
            zero=True,
        ),
    ]
