"""The process behind a host: mounts its root, runs systemd-nspawn (again after each reboot), forwards its ports.

Its mounts are in a mount namespace of its own, so they end with it. Started by `lab.host`; told to stop by SIGTERM.
"""

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from lab import cgroup, mounts, network, state

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
REBOOT = 133  # systemd-nspawn's exit code for "the guest asked for a reboot"
libc = ctypes.CDLL(None, use_errno=True)


def nspawn_argv(root: Path, netns: Path) -> list[str]:
    """How a guest is booted: all that systemd and rootless podman need, a network namespace, no kernel modules."""
    return [
        "systemd-nspawn", f"--directory={root}", "--boot", "--register=no", "--keep-unit", "--console=read-only",
        "--capability=all", "--drop-capability=CAP_SYS_MODULE", "--system-call-filter=@keyring @mount bpf",
        f"--network-namespace-path={netns}", "--link-journal=no", "--timezone=off", "--resolv-conf=off",
    ]  # fmt: skip


def socket_inside(netns: int, outside: int) -> socket.socket:
    """A socket that lives in the guest's network namespace; this process comes straight back to its own."""
    _enter(netns)
    try:
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    finally:
        _enter(outside)


def _enter(namespace: int) -> None:
    if libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def forward(ports: dict[int, int], netns: Path) -> None:
    """Listen on each outer loopback port and pass every connection on to the guest's loopback, until cancelled."""
    inside, outside = os.open(netns, os.O_RDONLY), os.open("/proc/self/ns/net", os.O_RDONLY)

    async def serve(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        guest = socket_inside(inside, outside)
        try:
            await asyncio.get_running_loop().sock_connect(guest, ("127.0.0.1", port))
            far_reader, far_writer = await asyncio.open_connection(sock=guest)
        except OSError:
            guest.close()
            writer.transport.abort()
            return
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        for end in (writer, far_writer):
            end.close()

    def handler(port: int) -> object:
        return lambda reader, writer: serve(port, reader, writer)

    for guest_port, outer_port in ports.items():
        await asyncio.start_server(handler(guest_port), "127.0.0.1", outer_port)  # type: ignore[arg-type]


async def keep(host: state.HostState) -> int:
    """Boot the guest and stay until it powers off; returns systemd-nspawn's last exit code."""
    folder = state.folder(host.name)
    netns = network.NETNS / network.namespace(host.name)
    root = mounts.assemble(host)
    groups = cgroup.make(host.name)
    await forward(host.ports, netns)

    def into_the_guests_group() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for file in groups:
            file.write_text(str(os.getpid()))

    settings = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "yes"}
    code = REBOOT
    while code == REBOOT:
        with (folder / "console.log").open("ab") as console:
            guest = await asyncio.create_subprocess_exec(
                *nspawn_argv(root, netns), env={**os.environ, **settings}, preexec_fn=into_the_guests_group,
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip
        code = await guest.wait()
    return code


def main(name: str) -> int:
    """Keep the host `name`, whose state is on disk, until it powers off."""
    host = state.load(name)
    if host is None:
        print(f"there is no host {name}", file=sys.stderr)
        return 1
    state.save_keeper(name, os.getpid())
    return asyncio.run(keep(host))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
