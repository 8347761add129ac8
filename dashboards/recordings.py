"""The catalogue of recorded series: one for each thing that a panel shows over time."""

from typing import Final

from dashboards.recorded import STUDIO, Recorded, counter, gauge, other

OURS: Final = f'{STUDIO},component_id!="internal"'
BUSY: Final = f'{STUDIO},mode!="idle"'
DISKS: Final = f'{STUDIO},device!~"loop.*|ram.*|dm-.*"'
NETWORKS: Final = f'{STUDIO},device!~"lo|veth.*|ifb.*"'
WATCHED_MOUNTS: Final = "/|/(home|var|srv|data)|/(mnt|media)(/.*)?"
"""A regular expression of the mount points whose file systems dashboards show and alerts watch."""
PASSING_TYPES: Final = "tmpfs|iso9660|udf|squashfs|erofs"
"""A regular expression of the file systems that are not: in memory, or full and read-only by their nature."""
FILE_SYSTEMS: Final = f'{STUDIO},mountpoint=~"{WATCHED_MOUNTS}",fstype!~"{PASSING_TYPES}"'
WEBHOOKS: Final = f'{STUDIO},integration="webhook"'
"""The only way in which a studio's Alertmanager tells anybody."""
PENDING: Final = f'{STUDIO},type="storage"'
ACTIVE: Final = f'{STUDIO},type="storage/hour_metric_ids"'
TEMPERATURE: Final = f"furnace_furnace_temp{{{STUDIO}}}"
FLAME: Final = f"furnace_flame_voltage{{{STUDIO}}}"
CANARY: Final = f"pipeline_canary_sent_seconds{{{STUDIO}}}"

SHOP: Final = (
    gauge("avg", "furnace_furnace_temp", "furnace, label"),
    gauge("max", "furnace_limit_low", "furnace"),
    gauge("max", "furnace_limit_high", "furnace"),
    other(
        "furnace:furnace_furnace_temp:delta10m",
        "min",
        f"max by (furnace) (avg_over_time({TEMPERATURE}[2m]) - avg_over_time({TEMPERATURE}[2m] offset 10m))",
    ),
    other("furnace:furnace_furnace_temp:count5m", "avg", f"sum by (furnace) (count_over_time({TEMPERATURE}[5m]))"),
    gauge("avg", "furnace_flame_voltage", "furnace"),
    gauge("min", "furnace_flame_voltage_min", "furnace"),
    gauge("max", "furnace_flame_voltage_max", "furnace"),
    other(
        "furnace:furnace_flame_voltage:variation5m",
        "max",
        f"max by (furnace) (stddev_over_time({FLAME}[5m]) / avg_over_time({FLAME}[5m]))",
    ),
    other("furnace:furnace_burner:avg", "avg", f"avg by (furnace) (avg_over_time(furnace_burner{{{STUDIO}}}[2m]))"),
    other(
        "alertname_alertstate:ALERTS:count",
        "max",
        f'count by (alertname, alertstate) (ALERTS{{{STUDIO},type="shop"}})',
    ),
    gauge("max", "camera_temp_max", "camera"),
    gauge("avg", "camera_temp_mean", "camera"),
    *(gauge("avg", f"plant_{what}", "plant") for what in ("moisture", "temperature", "light", "battery")),
)

HUB: Final = (
    counter("runner_duration_seconds_bucket", "le"),
    *(counter(f"runner_{how}_total", "status") for how in ("start", "stop", "error")),
    counter("runner_error_total", "device_site, protocol, status"),
    gauge("max", "runner_bytes_processed", "device_site, protocol"),
    counter("runs_created_total", "device_site"),
    counter("runs_created_total", "protocol"),
    counter("runs_by_device_total", "device_id"),
    counter("run_chunks_total", "device_site, protocol"),
    counter("run_chunk_bytes_total", "device_site, protocol"),
    counter("run_bytes_bucket", "le"),
    counter("fcm_dispatch_latency_ms_bucket", "le, action"),
    *(counter(f"live_{what}_duration_seconds_bucket", "le") for what in ("render", "mount", "connect")),
    gauge("sum", "live_sessions"),
    *(gauge("max", what) for what in ("live_queue_events", "hub_log_queue_lines", "hub_database_queue_writes")),
    counter("live_streaming_errors_total", "reason"),
    counter("hub_event_loop_lag_seconds_bucket", "le"),
    counter("http_request_latency_ms_sum", "route"),
    counter("http_request_latency_ms_count", "route"),
    counter("http_requests_total", "route"),
    counter("http_request_latency_ms_bucket", "le"),
    gauge("min", "hub_mqtt_connected"),
    gauge("max", "hub_mqtt_queue_messages"),
)

PROVISIONING: Final = (
    counter("provision_waits_total", "outcome"),
    counter("provision_wait_starts_total", "studio"),
    counter("provision_wait_elapsed_seconds_bucket", "le, method"),
    counter("provision_state_messages_total", "retained, created"),
    counter("provision_waiters_notified_total", "studio"),
    counter("thingsboard_provision_total", "transport, result"),
    gauge("max", "provision_event_log_queue_lines"),
    counter("provision_event_log_failures_total", "studio"),
)

HOST: Final = (
    counter("node_cpu_seconds_total", "mode", BUSY, how="avg"),
    gauge("max", "node_load1"),
    gauge("max", "node_load15"),
    gauge("min", "node_memory_MemTotal_bytes"),
    gauge("min", "node_memory_MemAvailable_bytes"),
    gauge("min", "node_filesystem_avail_bytes", "mountpoint", FILE_SYSTEMS),
    gauge("min", "node_filesystem_size_bytes", "mountpoint", FILE_SYSTEMS),
    gauge("max", "node_thermal_zone_temp", "zone, type"),
    gauge("avg", "node_timex_offset_seconds"),
    gauge("max", "node_timex_maxerror_seconds"),
    counter("node_disk_read_bytes_total", "device", DISKS),
    counter("node_disk_written_bytes_total", "device", DISKS),
    counter("node_network_receive_bytes_total", "device", NETWORKS),
    counter("node_network_transmit_bytes_total", "device", NETWORKS),
)

VECTOR: Final = (
    counter("vector_component_received_events_total", "component_id", OURS),
    counter("vector_component_sent_events_total", "component_id", OURS),
    counter("vector_component_errors_total", "component_id, error_type"),
    counter("vector_component_discarded_events_total", "component_id, component_kind, intentional"),
    gauge("sum", "vector_buffer_size_events", "component_id"),
    other(
        "component_id:vector_buffer_size_events:min5m",
        "max",
        f"sum by (component_id) (min_over_time(vector_buffer_size_events{{{STUDIO}}}[5m]))",
    ),
    counter("vector_buffer_received_events_total", "component_id"),
    gauge("max", "vector_component_latency_mean_seconds", "component_id"),
    *(
        counter(f"vector_{what}_seconds_{part}", "component_id", OURS)
        for what in ("source_send_batch_latency", "http_client_rtt")
        for part in ("sum", "count")
    ),
    other(
        "studio:pipeline_canary_sent_seconds:age",
        "max",
        f"min by (studio) (time() - last_over_time({CANARY}[1h]))",
    ),
    counter("vector_dead_letters_total", "kind, reason"),
)

STACK: Final = (
    counter("vm_rows_inserted_total", "type"),
    counter("vm_rows_ignored_total", "reason"),
    *(counter(f"vminsert_request_duration_seconds_{part}", "studio") for part in ("sum", "count")),
    gauge("max", "vm_pending_rows", "studio", PENDING),
    gauge("sum", "vm_data_size_bytes", "type"),
    gauge("min", "vm_free_disk_space_bytes"),
    gauge("max", "vm_free_disk_space_limit_bytes"),
    gauge("max", "vm_cache_entries", "studio", ACTIVE),
    other("type:ALERTS:count", "max", f'count by (type) (ALERTS{{{STUDIO},alertstate="firing"}})'),
    counter("vmalert_execution_total", "studio"),
    counter("vmalert_execution_errors_total", "studio"),
    *(counter(f"vmalert_iteration_duration_seconds_{part}", "group") for part in ("sum", "count")),
    counter("vmalert_iteration_missed_total", "group"),
    counter("alertmanager_notifications_total", "integration", WEBHOOKS),
    counter("alertmanager_notifications_failed_total", "integration", WEBHOOKS),
    *(
        counter(f"alertmanager_notification_latency_seconds_{part}", "integration", WEBHOOKS)
        for part in ("sum", "count")
    ),
    gauge("min", "up", "job"),
    gauge("max", "process_start_time_seconds", "job"),
    gauge("max", "process_resident_memory_bytes", "job"),
    counter("process_cpu_seconds_total", "job"),
)

CATALOGUE: Final[dict[str, Recorded]] = {one.name: one for one in (*SHOP, *HUB, *PROVISIONING, *HOST, *VECTOR, *STACK)}
"""Every recorded series by its name."""
