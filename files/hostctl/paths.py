"""Where things are on the host. Tests pass another root; everything else uses `Paths()`."""

from pathlib import Path
from typing import Final, NamedTuple

KEPT_GENERATIONS: Final = 5


class Paths(NamedTuple):
    """All paths hostctl reads or writes, below `root` (the file system's root; another folder in tests)."""

    root: Path = Path("/")

    @property
    def base(self) -> Path:
        return self.root / "var/lib/sensor-pipeline"

    @property
    def generations(self) -> Path:
        return self.base / "generations"

    def generation(self, name: str) -> Path:
        return self.generations / name

    @property
    def current(self) -> Path:
        """The symbolic link to the generation that is in use."""
        return self.base / "current"

    @property
    def state(self) -> Path:
        return self.base / "state"

    @property
    def secrets(self) -> Path:
        return self.base / "secrets"

    @property
    def extensions(self) -> Path:
        return self.base / "extensions" / "hivemq"

    @property
    def pending(self) -> Path:
        """Says that a switch was made and its services were not yet seen healthy: {"from": id, "to": id}."""
        return self.state / "pending.json"

    @property
    def failed(self) -> Path:
        return self.state / "failed.json"

    @property
    def history(self) -> Path:
        return self.state / "history.json"

    @property
    def marks(self) -> Path:
        """A file per component that must be restarted although its hash is right (its files had been tampered with)."""
        return self.state / "restart"

    @property
    def validated(self) -> Path:
        return self.state / "validated"

    @property
    def spool(self) -> Path:
        """Where the hub leaves the broker accounts of devices that it provisions; the folder is the hub's."""
        return self.state / "hub" / "accounts"

    @property
    def additions(self) -> Path:
        """What was taken over from there; root's."""
        return self.state / "broker-users.d"

    @property
    def additions_status(self) -> Path:
        return self.state / "broker-additions.json"

    @property
    def run(self) -> Path:
        return self.root / "run/sensor-pipeline"

    @property
    def lock(self) -> Path:
        return self.root / "run/sensor-pipeline.lock"

    @property
    def broker_lock(self) -> Path:
        """Held while the broker's account files are written: new devices do not wait for a deploy."""
        return self.root / "run/sensor-pipeline-broker.lock"

    @property
    def units(self) -> Path:
        return self.root / "etc/systemd/system"

    @property
    def command(self) -> Path:
        """Where people find hostctl."""
        return self.root / "usr/local/sbin/hostctl"

    def quadlets(self, uid: int) -> Path:
        """The link to the account's units. Its folder is a real one: were that the link, every account had them."""
        return self.root / "etc/containers/systemd/users" / str(uid) / "sensor-pipeline"

    def inputs(self, component: str) -> Path:
        return self.run / f"{component}.inputs"
