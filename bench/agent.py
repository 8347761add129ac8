"""The device agent beside a bare paho client: start to first telemetry, memory at rest, many provisionings at once.

    python -m bench.agent [--json] [--hub-count 1000]
    python -m bench.agent --crowd 1000 < provision.json      nothing but 1,000 agents at the server named there

The servers are Mosquitto (telemetry) and the tests' stand-in for ThingsBoard (provisioning), all on loopback.
`python -m bench.agent_lab` has a crowd on one lab host at the hub of another.
"""

import argparse
import json
import sys

from bench import agent_crowd
from bench.table import Row, show


def measure(rounds: int = 5, counts: tuple[int, ...] = (100, 1000), hub_count: int = 100) -> list[Row]:
    from bench import agent_rest, agent_servers  # here, because a crowd needs nothing of the tests

    return [*agent_rest.at_work(rounds), *agent_servers.many(counts, hub_count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--hub-count", type=int, default=100, help="agents at once at the hub (default: 100)")
    parser.add_argument("--crowd", type=int, metavar="COUNT", help="agents at once at the server in provision.json")
    options = parser.parse_args()
    if options.crowd:
        print(json.dumps(agent_crowd.crowd(options.crowd, json.load(sys.stdin))))
        return
    show("Device agent", measure(hub_count=options.hub_count), as_json=options.json)


if __name__ == "__main__":
    main()
