"""Where the agent is on a device."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

UNIT: Final = "studio-agent.service"
ACCOUNT: Final = "studio-agent"


@dataclass(frozen=True)
class Paths:
    """`root` is the root folder, given by tests."""

    root: Path = Path("/")

    @property
    def program(self) -> Path:
        return self.root / "opt/studio-agent"

    @property
    def versions(self) -> Path:
        return self.program / "versions"

    @property
    def current(self) -> Path:
        return self.program / "current"

    @property
    def data(self) -> Path:
        return self.root / "var/lib/studio-agent"

    @property
    def units(self) -> Path:
        return self.root / "etc/systemd/system"

    @property
    def unit(self) -> Path:
        return self.units / UNIT

    @property
    def drop_ins(self) -> Path:
        return self.units / f"{UNIT}.d"

    @property
    def users(self) -> Path:
        return self.root / "etc/sysusers.d/studio-agent.conf"

    @property
    def command(self) -> Path:
        return self.root / "usr/local/bin/studio-agent"
