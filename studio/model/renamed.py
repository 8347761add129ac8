"""Keys that an inventory had under another name: an error about one names its successor."""

from typing import Final

# The path of the old key (`*` is any item of a list) and the path of the key that took its place.
RENAMED: Final[dict[str, str]] = {
    "studio": "name",
    "display_name": "title",
    "hostname": "host.address",
    "ssh": "host",
    "host.name": "host.address",
    "host.ssh_port": "host.port",
    "host.ssh_user": "host.login",
    "host.podman_user": "host.user",
    "lan": "network",
    "allowed_network": "network",
    "mqtt_broker": "broker",
    "retention_period": "retention",
    "host_metrics": "device_metrics",
    "alertmanager": "alerts",
    "grafana": "grafana_cloud",
    "loki": "logs",
    "monit": "mmonit",
    "alerts.irm_shop": "alerts.shop",
    "alerts.irm_system": "alerts.system",
    "alerts.watchdog": "alerts.heartbeat",
    "alerts.*.url": "alerts.*.url_secret",
    "furnaces.*.name": "furnaces.*.label",
    "furnaces.*.temp_low": "furnaces.*.low",
    "furnaces.*.temp_high": "furnaces.*.high",
    "furnaces.*.temp_unit": "furnaces.*.unit",
    "furnaces.*.interval": "furnaces.*.expected_interval_seconds",
    "furnaces.*.no_data_after": "furnaces.*.no_data_minutes",
    "furnaces.*.disabled": "furnaces.*.off",
    "cameras.*.name": "cameras.*.label",
    "plants.*.name": "plants.*.label",
}


def successor(path: tuple[str | int, ...]) -> str | None:
    """The key (without the path to it) that took the place of one at `path`; a whole path when it moved elsewhere."""
    steps = ["*" if isinstance(step, int) else step for step in path]
    wild = [*steps[:1], "*", *steps[2:]]
    new = RENAMED.get(".".join(steps)) or RENAMED.get(".".join(wild))
    if new is None:
        return None
    parent, _, key = new.rpartition(".")
    return key if parent in {".".join(steps[:-1]), ".".join(wild[:-1])} else new
