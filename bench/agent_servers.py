"""Many agents at once at servers on loopback: the tests' stand-in for ThingsBoard, and the hub with a broker."""

import json
import sys
import tempfile
from pathlib import Path

from bench.agent_crowd import at_once, percentile
from bench.table import Row, seconds

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from services.agent_site import Site
from standins.thingsboard_standin import ThingsboardStandin


def request_to(port: int) -> dict[str, str]:
    return {
        "server": f"mqtt://127.0.0.1:{port}",
        "provision_device_key": "key",
        "provision_device_secret": "secret",
    }


def at_thingsboard(work: str, count: int) -> list[float]:
    with ThingsboardStandin({"key": "secret"}) as server:
        taken, failed = at_once(work, count, request_to(server.port))
        if failed or len(server.devices) != count:
            raise AssertionError(f"{failed} of {count} failed, {len(server.devices)} devices")
        return taken


def _devices(site: Site) -> list[str]:
    """All that the hub knows; it lists a thousand at a time."""
    found: list[str] = []
    while page := [
        d["device_id"] for d in site.ask(f"/admin/devices?after={found[-1]}" if found else "/admin/devices")
    ]:
        found += page
    return found


def at_the_hub(count: int) -> list[float]:
    """The same with the hub and a broker that learns of each device a second later."""
    with tempfile.TemporaryDirectory() as made, Site(Path(made)).running() as site:
        key = json.loads(site.hub("provision-key", "create", "--kind", "camera", "--json"))
        request = {
            "server": f"mqtt://127.0.0.1:{site.provisioning}",
            "device_server": f"mqtt://127.0.0.1:{site.broker.port}",
            "provision_device_key": key["key"],
            "provision_device_secret": key["secret"],
        }
        taken, failed = at_once("restarted", count, request)
        devices = len(_devices(site))
        if not len(taken) <= devices <= count:
            raise AssertionError(f"{count - failed} agents provisioned, {devices} devices")
        return taken


def many(counts: tuple[int, ...], hub_count: int) -> list[Row]:
    """p50 and p99 of provisionings at once.

    The peer is the handshake alone, without files and without the proof; for the hub, the same agents at the stand-in.
    """
    rows = []
    for count in counts:
        peer, ours = at_thingsboard("bare", count), at_thingsboard("whole", count)
        rows += _percentiles(f"{count:,} provisionings at once", ours, peer)
    peer, ours = at_thingsboard("whole", hub_count), at_the_hub(hub_count)
    done = f"{len(ours):,} of {hub_count:,}"
    rows.append(Row("provisioned at the hub at once", done, "-", "-", "all", len(ours) == hub_count))
    return [*rows, *_percentiles(f"{hub_count:,} provisionings at once at the hub", ours, peer)]


def _percentiles(what: str, taken: list[float], peer: list[float]) -> list[Row]:
    rows = []
    for name, percent in (("p50", 50), ("p99", 99)):
        mine, other = (percentile(some, percent) for some in (taken, peer))
        rows.append(seconds(f"{what}, {name}", mine, other, 30))
    return rows
