"""Many agents at once on a lab host, at the hub of a studio on another over TLS, its broker restarted meanwhile.

    python -m bench.agent_lab [--count 1000] [--restart-at 300] [--json]

Both hosts are made, the studio is deployed, and both are thrown away. Fails unless each agent became one device. The
hub takes 600 provisionings a minute of one address, as in every deploy.
"""

import argparse
import json
import sys
import time
from typing import Any, Final

from bench.table import Row, show
from lab import studio_host
from lab.crowd import Crowd
from lab.host import LabHost
from lab.run import LabError, step

STUDIO: Final = "bench-agent-studio"
PLACE: Final = "bench-agent-crowd"


def measure(count: int, restart_at: int | None) -> dict[str, Any]:
    """What `Crowd.arrive` tells, and the seconds it took."""
    studio, place = LabHost(STUDIO), LabHost(PLACE)
    try:
        for host in (studio, place):
            host.up(fresh=True)
        with step("the studio's deploy"):
            deployed = studio_host.deploy(studio)
        if deployed.returncode:
            raise LabError(f"the deploy failed:\n{deployed.stderr[-3000:]}")
        begun = time.monotonic()
        told = Crowd(studio, place).arrive(count, restart_at)
        return {"agents": count, **told, "seconds": round(time.monotonic() - begun, 1)}
    finally:
        studio.down()
        place.down()


def rows(told: dict[str, Any]) -> list[Row]:
    count = told["agents"]
    restarted = f", HiveMQ restarted at {told['restarted_at']} devices" if told["restarted_at"] is not None else ""
    counted = [
        Row(what, f"{told[key]:,}", "-", "-", f"{count:,}", told[key] == count)
        for what, key in (
            (f"{count:,} agents at once{restarted}: provisioned", "provisioned"),
            ("devices at the hub", "devices"),
            ("different ones", "distinct_devices"),
            ("accounts at the broker", "accounts"),
            ("different ones", "distinct_accounts"),
        )
    ]
    times = [
        Row(f"until provisioned, {key}", f"{told[key]:.1f} s", "-", "-", "-", None) for key in ("p50", "p99", "slowest")
    ]
    return [*counted, *times]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="agents (default: 1000)")
    parser.add_argument("--restart-at", type=int, metavar="DEVICES", help="restart HiveMQ when so many are there")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args()
    try:
        told = measure(options.count, options.restart_at)
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(told))
    else:
        show("Many agents at once, on the lab", rows(told), as_json=False)
    return 0 if all(row.met is not False for row in rows(told)) else 1


if __name__ == "__main__":
    sys.exit(main())
