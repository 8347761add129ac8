"""What is known of a host on disk: `hosts/NAME/state.json`. Everything else is found out from the running system."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import paths
from lab.ports import port_map
from lab.run import LabError, write_atomically

NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True)
class HostState:
    """One host: its name, its number (address and ports follow from it) and what it was made from."""

    name: str
    index: int
    base: str
    venv: str
    inventory: str
    snapshot: str | None = None

    @property
    def address(self) -> str:
        """Its address on the lab's own network, which only hosts of this lab reach."""
        return f"10.77.0.{self.index}"

    @property
    def ports(self) -> dict[int, int]:
        """Guest loopback port to outer loopback port."""
        return port_map(self.index)


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    start: int

    @staticmethod
    def of(pid: int) -> "Process | None":
        """The process with this number now, or None."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] == "Z" else Process(pid, int(fields[19]))

    def alive(self) -> bool:
        return Process.of(self.pid) == self


def checked_name(name: str) -> str:
    """`name` when it can be a host's; raises LabError when not."""
    if NAME.fullmatch(name) is None:
        raise LabError(
            f"{name!r} cannot be a host's name: a small letter, then small letters, digits and dashes, 31 at most"
        )
    return name


def folder(name: str) -> Path:
    return paths.hosts_dir() / checked_name(name)


def load(name: str) -> HostState | None:
    """The host's state; None when there is no such host or an `up` ended before it wrote one."""
    try:
        raw = json.loads((folder(name) / "state.json").read_text())
    except FileNotFoundError:
        return None
    return HostState(**{key: raw[key] for key in HostState.__dataclass_fields__})


def save(state: HostState) -> None:
    shown = {**asdict(state), "address": state.address, "ports": state.ports}
    write_atomically(folder(state.name) / "state.json", json.dumps(shown, indent=2) + "\n")


def save_keeper(name: str, pid: int) -> None:
    """Remember the host's keeper, which is running."""
    process = Process.of(pid)
    if process is None:
        raise LabError(f"the host {name} has no keeper with the number {pid}")
    write_atomically(folder(name) / "keeper.json", json.dumps(asdict(process)) + "\n")


def keeper_of(name: str) -> Process | None:
    """The running keeper of this host, or None."""
    try:
        raw = json.loads((folder(name) / "keeper.json").read_text())
    except FileNotFoundError:
        return None
    process = Process(raw["pid"], raw["start"])
    return process if process.alive() else None


def names() -> list[str]:
    """Names of all hosts, half-made ones included."""
    return sorted(path.name for path in paths.hosts_dir().glob("*") if path.is_dir())
