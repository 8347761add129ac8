"""What is measured of the host itself, the same by node_exporter and by Alloy, whose exporter is the same code."""

from typing import Final

COLLECTORS: Final = (
    "cpu",
    "cpufreq",
    "diskstats",
    "filesystem",
    "hwmon",
    "loadavg",
    "meminfo",
    "netdev",
    "os",
    "stat",
    "thermal_zone",
    "time",
    "timex",
    "uname",
    "vmstat",
)
"""CPU, memory, disk, temperature (a Pi's thermal zone; sensors), network, clock; all that rules and dashboards read."""
