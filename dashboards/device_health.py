"""`device_health`: the studio's host itself, by node_exporter's names, which Alloy gives too."""

from dashboards.frame import Dashboard, Row
from dashboards.panels import OFF_ON, Query, Rules, above, below, lines, number, with_runbook
from dashboards.recorded import STUDIO
from dashboards.recordings import FILE_SYSTEMS
from dashboards.shown import held, rate_by

MEMORY = f"node_memory_MemAvailable_bytes{{{STUDIO}}}"
FREE = f"min(node_filesystem_avail_bytes{{{FILE_SYSTEMS}}} / node_filesystem_size_bytes{{{FILE_SYSTEMS}}})"


def device_health(rules: Rules) -> Dashboard:
    """Processor, memory, disk, temperature, clock, network of the host."""
    cards = [
        with_runbook(
            number(
                "Processor",
                "Share of all cores that is busy.",
                "percentunit",
                Query(f'1 - avg(rate(node_cpu_seconds_total{{{STUDIO},mode="idle"}}[$__rate_interval]))'),
                steps=above(rules, "HostBusy"),
                width=4,
            ),
            rules,
            "HostBusy",
        ),
        with_runbook(
            number(
                "Memory available",
                "What programs can still have, as a share of all.",
                "percentunit",
                Query(f"min({MEMORY}) / min(node_memory_MemTotal_bytes{{{STUDIO}}})"),
                steps=below(rules, "HostMemoryLow"),
                width=4,
            ),
            rules,
            "HostMemoryLow",
        ),
        with_runbook(
            number(
                "Disk free",
                "Of the fullest file system; the graph below has each.",
                "percentunit",
                Query(FREE),
                steps=below(rules, "DiskAlmostFull"),
                width=4,
            ),
            rules,
            "DiskAlmostFull",
            "DiskFills24h",
            "DiskReadOnly",
        ),
        with_runbook(
            number(
                "Temperature",
                "The hottest sensor of the host.",
                "celsius",
                Query(f"max(node_thermal_zone_temp{{{STUDIO}}} or node_hwmon_temp_celsius{{{STUDIO}}})"),
                steps=above(rules, "HostHot"),
                width=4,
                none="no sensor",
            ),
            rules,
            "HostHot",
        ),
        with_runbook(
            number(
                "Clock",
                "Whether the kernel's clock is disciplined by a time server.",
                "bool_on_off",
                Query(f"min(node_timex_sync_status{{{STUDIO}}})"),
                steps=OFF_ON,
                width=4,
            ),
            rules,
            "ClockUnsynced",
        ),
        with_runbook(
            number(
                "Up for",
                "Since the host's last boot.",
                "s",
                Query(f"max(node_time_seconds{{{STUDIO}}} - node_boot_time_seconds{{{STUDIO}}})"),
                width=4,
            ),
            rules,
            "HostRestarted",
            "HostMetricsMissing",
        ),
    ]
    charts = [
        lines(
            "Processor",
            "Share of all cores by what they do.",
            "percentunit",
            Query(rate_by("node_cpu_seconds_total", "mode"), "{{mode}}"),
            zero=True,
        ),
        lines(
            "Load",
            "Tasks that run or want to, on average.",
            "short",
            Query(held("max", "node_load1"), "1 minute"),
            Query(held("max", "node_load15"), "15 minutes"),
            zero=True,
        ),
        lines(
            "Memory",
            "What programs use, and what they can still have.",
            "bytes",
            Query(
                f"{held('min', 'node_memory_MemTotal_bytes')} - {held('min', 'node_memory_MemAvailable_bytes')}", "used"
            ),
            Query(held("min", "node_memory_MemAvailable_bytes"), "available"),
            zero=True,
        ),
        with_runbook(
            lines(
                "Disk free",
                "Share of each file system that the alerts watch.",
                "percentunit",
                Query(
                    f"{held('min', 'node_filesystem_avail_bytes', 'mountpoint')}"
                    f" / {held('min', 'node_filesystem_size_bytes', 'mountpoint')}",
                    "{{mountpoint}}",
                ),
                steps=below(rules, "DiskAlmostFull"),
                zero=True,
            ),
            rules,
            "DiskAlmostFull",
            "DiskFills24h",
        ),
        with_runbook(
            lines(
                "Temperature",
                "Each thermal zone of the host.",
                "celsius",
                Query(held("max", "node_thermal_zone_temp", "zone, type"), "{{type}} {{zone}}"),
                steps=above(rules, "HostHot"),
                none="no sensor",
            ),
            rules,
            "HostHot",
        ),
        with_runbook(
            lines(
                "Clock",
                "How far the clock is from the time server's, and how far it may be.",
                "s",
                Query(held("avg", "node_timex_offset_seconds"), "offset"),
                Query(held("max", "node_timex_maxerror_seconds"), "largest error"),
            ),
            rules,
            "ClockUnsynced",
            "ClockJumped",
        ),
        lines(
            "Disk traffic",
            "Bytes a second of each disk.",
            "Bps",
            Query(rate_by("node_disk_read_bytes_total", "device"), "{{device}} read"),
            Query(rate_by("node_disk_written_bytes_total", "device"), "{{device}} written"),
            zero=True,
        ),
        lines(
            "Network",
            "Bytes a second of each interface.",
            "Bps",
            Query(rate_by("node_network_receive_bytes_total", "device"), "{{device}} received"),
            Query(rate_by("node_network_transmit_bytes_total", "device"), "{{device}} sent"),
            zero=True,
        ),
    ]
    return Dashboard(
        name="device_health",
        title="Host",
        description="The host itself: processor, memory, disk, temperature, clock, network.",
        audience="system",
        rows=[Row("Now", cards), Row("Over time", charts)],
    )
