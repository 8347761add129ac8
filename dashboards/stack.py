"""The part of `pipeline` that is about storage, alerting, and the parts as processes."""

from dashboards.panels import STUDIO, PanelBuilder, Query, Rules, lines, rate_by, with_runbook

WEBHOOKS = f'{STUDIO},integration="webhook"'
"""The only way in which a studio's Alertmanager tells anybody."""


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
            "Size on disk",
            "Of all samples, and of their index.",
            "bytes",
            Query(f"sum by (type) (vm_data_size_bytes{{{STUDIO}}})", "{{type}}"),
            zero=True,
        ),
        with_runbook(
            lines(
                "Space",
                "Free where VictoriaMetrics stores; below the limit it stores nothing more.",
                "bytes",
                Query(f"min(vm_free_disk_space_bytes{{{STUDIO}}})", "free"),
                Query(f"max(vm_free_disk_space_limit_bytes{{{STUDIO}}})", "limit"),
                zero=True,
            ),
            rules,
            "StorageReadOnly",
        ),
        lines(
            "Series",
            "Series that had samples within the last hour.",
            "short",
            Query(f'max(vm_cache_entries{{{STUDIO},type="storage/hour_metric_ids"}})', "active"),
            zero=True,
        ),
    ]


def alerting(rules: Rules) -> list[PanelBuilder]:
    """What fires, what is evaluated, what is delivered."""
    return [
        with_runbook(
            lines(
                "Alerts",
                "How many alerts fire, by type.",
                "short",
                Query(f'count by (type) (ALERTS{{{STUDIO},alertstate="firing"}})', "{{type}}"),
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
                "Notifications",
                "Messages a second that Alertmanager sends, and how many fail.",
                "ops",
                Query(rate_by("alertmanager_notifications_total", "integration", WEBHOOKS), "{{integration}}"),
                Query(
                    rate_by("alertmanager_notifications_failed_total", "integration", WEBHOOKS),
                    "{{integration}} failed",
                ),
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
                Query(f"min by (job) (up{{{STUDIO}}})", "{{job}}"),
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
                Query(f"max by (job) (time() - process_start_time_seconds{{{STUDIO}}})", "{{job}}"),
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
            Query(f"max by (job) (process_resident_memory_bytes{{{STUDIO}}})", "{{job}}"),
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
                Query(f"min(hub_mqtt_connected{{{STUDIO}}})", "connected"),
                Query(f"max(hub_mqtt_queue_messages{{{STUDIO}}})", "waiting"),
                zero=True,
            ),
            rules,
            "HubBrokerLost",
        ),
    ]
