"""`LabHost`: one throwaway Debian host, for tests and the demo."""

import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import build, cgroup, guest, keys, layers, network, paths, ports, power, state
from lab.cache import remove
from lab.can_boot import why_not
from lab.run import LabError, locked

UP = 60.0
Result = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class LabHost:
    """A host by its name. It need not exist: `up` makes it, `down` removes every trace."""

    name: str

    @property
    def info(self) -> state.HostState:
        """What is known of it; raises LabError when it does not exist."""
        known = state.load(self.name)
        if known is None:
            raise LabError(f"there is no host {self.name}; make it: python -m lab up {self.name}")
        return known

    @property
    def address(self) -> str:
        """Its address on the lab's network; only other hosts of the lab reach it."""
        return self.info.address

    def port(self, guest_port: int) -> int:
        """The port on the outer 127.0.0.1 that leads to this port of the guest's 127.0.0.1."""
        forwarded = self.info.ports
        if guest_port not in forwarded:
            raise LabError(f"port {guest_port} is not forwarded; these are: {', '.join(map(str, forwarded))}")
        return forwarded[guest_port]

    def running(self) -> bool:
        keeper = state.keeper_of(self.name)
        return keeper is not None and guest.init_of(keeper) is not None

    def up(self, *, fresh: bool = False, inventory: str = "lab", snapshot: str | None = None) -> "LabHost":
        """Make the host when it is not there, boot it when it is not up, and return when systemd and sshd are.

        Args:
            fresh: throw away what is there first.
            inventory: the studio that `STUDIO` names in the guest.
            snapshot: begin with a copy of this snapshot instead of the bare base; for a host that does not exist yet.
        """
        if reason := why_not():
            raise LabError(f"no host can be booted here: {reason}")
        state.checked_name(self.name)
        with locked(_lock(self.name)):
            if fresh or (state.load(self.name) is None and state.folder(self.name).exists()):
                self._remove()
            if power.keeper_of(self.name) is None:
                cgroup.kill(self.name)
                known = state.load(self.name) or self._make(build.guest_parts(), inventory, snapshot)
                with locked(_lock("")):
                    network.connect(self.name, known.index, known.address)
                power.start(self.name)
            self.wait_until_up()
        return self

    def _make(self, parts: build.GuestParts, inventory: str, snapshot: str | None) -> state.HostState:
        with locked(_lock("")), locked(ports.CLAIMS / ".lock"):
            taken = {known.index for name in state.names() if (known := state.load(name))}
            index = ports.free_index(taken | ports.claimed())
            known = layers.populate(self.name, index, parts, inventory, snapshot)
            ports.claim(index, state.folder(self.name))
            state.save(known)
        return known

    def wait_until_up(self, timeout: float = UP) -> None:
        """Return when the guest's systemd has started everything and sshd answers."""
        until = time.monotonic() + timeout
        while state.keeper_of(self.name) is not None and (left := until - time.monotonic()) > 0:
            if self.running() and self._has_started(left):
                return
            time.sleep(0.05)
        log = (state.folder(self.name) / "keeper.log").read_text()[-2000:]
        raise LabError(f"the host {self.name} is not up; see {state.folder(self.name)}/console.log\n{log}")

    def _has_started(self, timeout: float) -> bool:
        try:
            answer = self.exec(["systemctl", "is-system-running", "--wait"], check=False, timeout=timeout).stdout
        except (LabError, subprocess.TimeoutExpired):
            return False
        return answer.strip() in {"running", "degraded"}

    def exec(
        self,
        command: str | Sequence[str],
        *,
        user: str = "root",
        stdin: str | None = None,
        check: bool = True,
        timeout: float | None = 600,
    ) -> Result:
        """Run a command in the guest: words as they are, or one text for its shell.

        Raises:
            LabError: `check` and its exit code is not 0; the message has what it said.
        """
        words = ["bash", "-c", command] if isinstance(command, str) else list(command)
        if user != "root":
            words = ["runuser", "-l", user, "-c", shlex.join(words)]
        argv = guest.enter(self.name, words, {"STUDIO": self.info.inventory})
        done = subprocess.run(argv, input=stdin or "", capture_output=True, text=True, check=False, timeout=timeout)
        if check and done.returncode:
            said = f"{done.stdout}{done.stderr}".strip()[-3000:]
            raise LabError(
                f"on {self.name}: `{shlex.join(words)[:300]}` failed with exit code {done.returncode}:\n{said}"
            )
        return done

    def read(self, path: str) -> str:
        """The text of a file in the guest."""
        return self.exec(["cat", "--", path]).stdout

    def write(self, path: str, text: str, mode: str = "0644") -> None:
        """Put a file in the guest, whole, as root."""
        self.exec(["install", "-D", "-m", mode, "/dev/stdin", path], stdin=text)

    def ssh_argv(self, user: str = "root") -> list[str]:
        """The ssh command that logs in from the outer machine with the lab's key."""
        return keys.ssh_argv(user, self.port(22))

    def reboot(self, *, timeout: float = UP) -> None:
        """Shut the guest down in order, start it again, and return when it is up."""
        old = self._init()
        self.exec(["systemctl", "reboot"], check=False)
        guest.wait_for_new_init(self.name, old, timeout)
        self.wait_until_up(timeout)

    def cut_power(self) -> None:
        """End every process of the guest at once, as a pulled plug does; `up` starts it again."""
        with locked(_lock(self.name)):
            power.cut(self.name)

    def snapshot(self, name: str) -> None:
        """Shut the guest down, copy what differs from the base to the snapshot `name`, and start it again."""
        self.exec(["systemctl", "poweroff"], check=False)
        until = time.monotonic() + UP
        while state.keeper_of(self.name) is not None:
            if time.monotonic() > until:
                raise LabError(f"the host {self.name} does not power off; see {state.folder(self.name)}/console.log")
            time.sleep(0.05)
        cgroup.kill(self.name)
        layers.save_snapshot(self.info, name)
        self.up()

    def down(self) -> None:
        """Remove the host and every trace of it; nothing happens when there is none."""
        state.checked_name(self.name)
        with locked(_lock(self.name)):
            self._remove()

    def _init(self) -> int:
        keeper = state.keeper_of(self.name)
        pid = guest.init_of(keeper) if keeper else None
        if pid is None:
            raise LabError(f"the host {self.name} is not running")
        return pid

    def _remove(self) -> None:
        power.cut(self.name)
        with locked(_lock("")):
            remove(state.folder(self.name))
            network.disconnect(self.name, last=not state.names())


def _lock(name: str) -> Path:
    """The lock of one host; without a name, of what all hosts share."""
    return paths.lab_dir() / "locks" / (name or ".all")


def all_hosts() -> list[LabHost]:
    """Every host of this lab, half-made ones included."""
    return [LabHost(name) for name in state.names()]
