"""Network namespaces: one a host, and one that holds the bridge between them, so that nothing shows outside."""

from pathlib import Path

from lab.paths import tag
from lab.run import run

BRIDGE = "br0"
NETNS = Path("/run/netns")


def namespace(name: str) -> str:
    """What the host's network namespace is called (`ip netns`)."""
    return f"lab-{tag()}-{name}"


def switch() -> str:
    """What the namespace of the bridge is called; no host can have this name."""
    return f"lab-{tag()}.switch"


def connect(name: str, index: int, address: str) -> Path:
    """Give a host its network: loopback, and `host0` with its address on the bridge. Returns the namespace's path.

    What is already there stays.
    """
    guest, hub = namespace(name), switch()
    if not (NETNS / hub).exists():
        run(["ip", "netns", "add", hub])
    if "br0" not in run(["ip", "-n", hub, "-br", "link"]):
        run(["ip", "-n", hub, "link", "add", BRIDGE, "type", "bridge"])
    run(["ip", "-n", hub, "link", "set", BRIDGE, "up"])
    if not (NETNS / guest).exists():
        run(["ip", "netns", "add", guest])
    if "host0" not in run(["ip", "-n", guest, "-br", "link"]):
        port = f"host{index}"
        run(["ip", "-n", hub, "link", "del", port], check=False)
        run(["ip", "-n", hub, "link", "add", port, "type", "veth", "peer", "name", "host0", "netns", guest])
        run(["ip", "-n", hub, "link", "set", port, "master", BRIDGE, "up"])
    run(["ip", "-n", guest, "address", "replace", f"{address}/24", "dev", "host0"])
    run(["ip", "-n", guest, "link", "set", "lo", "up"])
    run(["ip", "-n", guest, "link", "set", "host0", "up"])
    return NETNS / guest


def disconnect(name: str, *, last: bool) -> None:
    """Take a host's network away, and the bridge with the last host's."""
    for gone in [namespace(name), *([switch()] if last else [])]:
        if (NETNS / gone).exists():
            run(["ip", "netns", "delete", gone])
