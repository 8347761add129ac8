"""System units of the product itself, written for what a generation needs of them."""

from typing import Final

from hostctl import additions
from hostctl.manifest import Manifest
from hostctl.paths import Paths

FIREWALL: Final = "sensor-pipeline-firewall.service"
ACCOUNTS: Final = "sensor-pipeline-accounts.service"
ACCOUNTS_PATH: Final = "sensor-pipeline-accounts.path"
EVERY: Final = (FIREWALL, ACCOUNTS, ACCOUNTS_PATH)


def _firewall(paths: Paths, rules: str) -> str:
    """Loads the firewall's rules at boot, before the network is up."""
    current = paths.current
    return f"""[Unit]
Description=Firewall rules of the sensor pipeline
DefaultDependencies=no
After=local-fs.target
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {current}/{rules}
ExecStartPost={current}/bin/hostctl record-inputs firewall
ExecStop=-/usr/sbin/nft delete table inet sensor_pipeline

[Install]
WantedBy=multi-user.target
"""


def _accounts(paths: Paths) -> str:
    """Gives the broker the accounts that the hub left for it; a burst of devices is no reason to stop doing so."""
    return f"""[Unit]
Description=Broker accounts of devices that the hub provisioned
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart={paths.current}/bin/hostctl accounts
TimeoutStartSec=60
"""


def _accounts_path(paths: Paths) -> str:
    """Looks at a file that hostctl takes away, not at a change: nothing that comes while it works is missed."""
    return f"""[Unit]
Description=Watches for broker accounts of devices that the hub provisioned
StartLimitIntervalSec=0

[Path]
PathExists={paths.spool / additions.NAME}
TriggerLimitIntervalSec=60
TriggerLimitBurst=600

[Install]
WantedBy=multi-user.target
"""


def wanted(paths: Paths, manifest: Manifest) -> dict[str, str]:
    """The units of this generation by their names."""
    units = {FIREWALL: _firewall(paths, manifest.firewall)} if manifest.firewall else {}
    if manifest.has_hub:
        units |= {ACCOUNTS: _accounts(paths), ACCOUNTS_PATH: _accounts_path(paths)}
    return units


def wrong(paths: Paths, manifest: Manifest) -> list[str]:
    """The units that are missing, differ, or should not be there."""
    right = wanted(paths, manifest)
    found = {name: paths.units / name for name in EVERY}
    return [str(p) for name, p in found.items() if (p.read_text() if p.is_file() else None) != right.get(name)]
