"""Heartbeats a second, durable, and what logging adds to a heartbeat's time."""

import statistics
from itertools import islice
from pathlib import Path

from bench import hub_load, hub_site
from bench.hub_load import p95
from bench.table import Row

ROUNDS = 7
BEATS = 2_000
AT_ONCE = 50
RATE = 250
"""A second: a thousand devices have their turn every four seconds, before their connections are closed as unused."""
SLICE = RATE // 2
PAIRS = 30
GOAL_MS = 0.5


def beat_requests(headers: list[dict[str, str]], mark: str, count: int) -> list[bytes]:
    """A heartbeat of each device in its turn, each with an id of its own."""
    bodies = [{"status": "ok", "uptime_s": n, "heartbeat_id": f"{mark}-{n}"} for n in range(count)]
    devices = len(headers)
    return [hub_load.request("POST", "/v1/heartbeat", headers[n % devices], body) for n, body in enumerate(bodies)]


async def heartbeats(folder: Path) -> list[Row]:
    """Also the memory of a hub before and after."""
    ours: list[float] = []
    theirs: list[float] = []
    with (
        hub_site.hub(folder) as hub,
        hub_site.admin_of(hub) as client,
        hub_site.peer("heartbeats", folder) as (port, _),
    ):
        rest = hub.megabytes()
        devices = hub_site.enrolled(client, 20)
        for n in range(ROUNDS):
            content = beat_requests(devices, f"r{n}", BEATS)
            for server, rates in ((hub.port, ours), (port, theirs)):
                rate, answers = await hub_load.as_fast_as_possible(server, content, AT_ONCE)
                if answers.refused:
                    raise RuntimeError(f"{answers.refused} heartbeats were not taken")
                rates.append(rate)
        loaded = hub.megabytes()
    mine, other = statistics.median(ours), statistics.median(theirs)
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    ratio = statistics.median(ratios)
    told = f"{ratio:.0%} ({ratios[0]:.0%} to {ratios[-1]:.0%})"
    return [
        Row("heartbeats, durable", f"{mine:.0f}/s", f"bare Starlette {other:.0f}/s", told, "70 %", ratio >= 0.7),
        Row("memory at rest", f"{rest:.0f} MB", "-", "-", "-", None),
        Row(f"memory after {ROUNDS * BEATS:,} heartbeats", f"{loaded:.0f} MB", "-", "-", "-", None),
    ]


async def logging_price(folder: Path, devices: int) -> list[Row]:
    """p95 with the log at INFO beside the same hub with the log at ERROR; each device has a connection.

    Half a second of each in turns; what is added is the median of the differences of such pairs.
    """
    pairs: list[dict[str, list[float]]] = []
    given = {"HUB_RATE_DEVICE": "100000000"}
    with hub_site.hub(folder, **given) as hub, hub_site.admin_of(hub) as client:
        headers = hub_site.enrolled(client, devices)
        crowd = hub_load.Crowd(hub.port, await hub_load.connect(hub.port, devices))
        for n in range(PAIRS + 1):
            pairs.append({})
            # INFO ERROR, ERROR INFO, ...: so that neither is always the second.
            for level in ("INFO", "ERROR") if n % 2 else ("ERROR", "INFO"):
                client.put("/admin/log-level", json={"level": level}).raise_for_status()
                turns = list(islice(crowd.turns, SLICE))
                content = beat_requests([headers[turn] for turn in turns], f"r{n}{level}", SLICE)
                answers = await hub_load.evenly(crowd, [*zip(turns, content, strict=True)], RATE)
                if answers.refused:
                    raise RuntimeError(f"{answers.refused} heartbeats were not taken")
                pairs[-1][level] = [seconds * 1000 for seconds in answers.seconds]
        crowd.close()
    del pairs[0]  # to warm up
    with_log, without = (p95([t for pair in pairs for t in pair[level]]) for level in ("INFO", "ERROR"))
    differences = sorted(p95(pair["INFO"]) - p95(pair["ERROR"]) for pair in pairs)
    added = statistics.median(differences)
    # 95 times in a hundred the median of a long measurement is between these.
    low = int(PAIRS / 2 - 0.98 * PAIRS**0.5)
    least, most = differences[low], differences[-1 - low]
    told = f"{added:+.2f} ms ({least:+.2f} to {most:+.2f})"
    # Too restless a machine shows nothing.
    met = None if least <= GOAL_MS < most else added <= GOAL_MS
    medians = statistics.median(statistics.median(pair["INFO"]) - statistics.median(pair["ERROR"]) for pair in pairs)
    what = f"p95 that logging adds, {devices:,} devices (median {medians:+.2f} ms)"
    return [Row(what, f"{with_log:.1f} ms", f"without {without:.1f} ms", told, f"+{GOAL_MS} ms (asked for: 5)", met)]
