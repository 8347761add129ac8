"""Situations for Loki's rules: what happens in the hub, minute by minute, and which alerts that must raise."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hub.logs import LogWriter
from hub.provision.events import ProvisionEvents

Step = tuple[float, Callable[[ProvisionEvents, LogWriter], None]]
TIMEOUTS = "ProjectPlantProvisioningTimeouts"
RATIO = "ProvisioningFailureRatio"
SLOW = "ProvisioningSlow"
STALE = "ProvisioningStaleRetainedOnly"
STUCK = "ProvisioningWaitsStuck"
ERRORS = "HubLogsErrors"
REFUSES = "HubRefusesMany"
ASKED = {"timeout": 60.0, "require_fresh": True, "device_id": None}


@dataclass(frozen=True)
class Case:
    """What happens (`steps`: the minute, and what the hub notes then) and what that raises, and nothing else.

    `minutes` are the first and the last minute in which the rule fires.
    """

    rule: str
    name: str
    steps: list[Step]
    minutes: tuple[int, int] | None = None

    @property
    def fires(self) -> bool:
        return self.minutes is not None


def started(*minutes: float, method: str = "ble") -> list[Step]:
    return [(m, lambda events, _: events.wait_start({"method": method, **ASKED})) for m in minutes]


def timed_out(*minutes: float, method: str = "ble") -> list[Step]:
    return [(m, lambda events, _: events.wait_timeout({"method": method, **ASKED}, 60.0)) for m in minutes]


def came_online(*minutes: float, seconds: float = 4.2, method: str = "ble") -> list[Step]:
    return [(m, lambda events, _: events.wait_success("AABBCC112233", method, seconds, True)) for m in minutes]


def known_already(*minutes: float, method: str = "ble") -> list[Step]:
    return [(m, lambda events, _: events.wait_cached("fern", {"method": method, **ASKED}, 12.0)) for m in minutes]


def state(*minutes: float, retained: bool = False, created: bool = False) -> list[Step]:
    return [
        (m, lambda events, _: events.state_message("fern", retained=retained, created=created, waiters_notified=0))
        for m in minutes
    ]


def logged(level: str, event: str, minutes: Iterable[float]) -> list[Step]:
    return [(m, lambda _, log: log.event(level, event, {"request_id": "r-1"}, {"reason": "a test"})) for m in minutes]


def during(first: float, last: float, count: int) -> list[float]:
    """`count` moments spread evenly, none of them on a whole minute."""
    return [first + 0.01 + (last - first) * n / count for n in range(count)]


CASES = [
    Case(
        TIMEOUTS,
        "timeouts for half an hour among more successes",
        [*timed_out(*during(0, 30, 6)), *came_online(*during(0, 30, 12))],
        (11, 35),
    ),
    Case(TIMEOUTS, "a second timeout keeps the first alive", timed_out(0.5, 9.5), (11, 19)),
    Case(TIMEOUTS, "one timeout is over before ten minutes are", timed_out(0.5)),
    Case(TIMEOUTS, "timeouts now and then", timed_out(0.5, 13.5, 27.5, 41.5)),
    Case(TIMEOUTS, "only successes", came_online(*during(0, 60, 30))),
    Case(RATIO, "four of six fail", [*timed_out(1.5, 15.5, 29.5, 43.5), *came_online(2.5, 30.5)], (36, 62)),
    Case(
        RATIO,
        "one method fails, the other one's many successes hide nothing",
        [*timed_out(1.5, 13.5, 25.5, 37.5, 49.5), *came_online(*during(0, 60, 20), method="softap")],
        (55, 61),
    ),
    Case(RATIO, "answers from memory count as answers", [*timed_out(1.5, 15.5, 29.5), *known_already(2.5, 3.5, 4.5)]),
    Case(RATIO, "half and half", [*timed_out(1.5, 15.5, 29.5), *came_online(2.5, 20.5, 30.5)]),
    Case(RATIO, "all fail, but they are only four", timed_out(1.5, 15.5, 29.5, 43.5)),
    Case(RATIO, "five failures in more than an hour", timed_out(1.5, 16.5, 31.5, 46.5, 62.5)),
    Case(SLOW, "the median is 31 s", [*came_online(1, 2, seconds=31), *came_online(3, seconds=5)], (8, 60)),
    Case(
        SLOW,
        "slow by SoftAP only",
        [*came_online(1, 2, 3, seconds=45, method="softap"), *came_online(4, 5, 6)],
        (8, 60),
    ),
    Case(SLOW, "two slow devices alone", came_online(1, 2, seconds=300)),
    Case(SLOW, "the median is 30 s", [*came_online(1, 2, seconds=30), *came_online(3, seconds=500)]),
    Case(SLOW, "slow, but spread over hours", came_online(1, 42, 83, seconds=90)),
    Case(SLOW, "one slow device among quick ones", [*came_online(1, 2, 3), *came_online(4, seconds=300)]),
    Case(
        STALE,
        "retained states of known devices, waits time out",
        [*state(1, 20, retained=True), *timed_out(5.5, 22.5)],
        (11, 49),
    ),
    Case(STALE, "nobody waits", state(1, 10, 20, 30, retained=True)),
    Case(STALE, "a fresh state too", [*state(1, 20, retained=True), *state(12), *timed_out(13.5)]),
    Case(
        STALE,
        "one of them made a device known",
        [*state(1, 20, retained=True), *state(2, retained=True, created=True), *timed_out(5.5)],
    ),
    Case(STALE, "the waits timed out long before", [*timed_out(1.5), *state(33, 34, 35, retained=True)]),
    Case(STUCK, "three waits, none ends", started(5.5, 6.5, 7.5), (23, 45)),
    Case(
        STUCK,
        "a wait that ended an hour before is no comfort",
        [*came_online(1.5), *started(55.5, 56.5, 57.5)],
        (73, 95),
    ),
    Case(STUCK, "two waits, none ends", started(5.5, 6.5)),
    Case(STUCK, "they end in time", [*started(5.5, 6.5, 7.5), *timed_out(15.5), *came_online(16.5, 17.4)]),
    Case(STUCK, "they end at once, from memory", [*started(5.5, 6.5, 7.5), *known_already(5.5, 6.5, 7.5)]),
    Case(STUCK, "three waits in an hour and more", started(5.5, 30.5, 55.5)),
    Case(ERRORS, "four errors", logged("error", "dispatch.fail", during(5, 9, 4)), (9, 15)),
    Case(ERRORS, "three errors", logged("error", "dispatch.fail", during(5, 9, 3))),
    Case(ERRORS, "four errors in twelve minutes", logged("error", "dispatch.fail", (5.5, 9.5, 13.5, 17.5))),
    Case(ERRORS, "warnings and much else", [
        *logged("warning", "dispatch.fail", during(5, 9, 20)),
        *logged("info", "heartbeat.ingest", during(5, 9, 40)),
    ]),
    Case(REFUSES, "31 refusals", logged("warning", "sec.admin.denied", during(5, 9, 31)), (9, 15)),
    Case(REFUSES, "30 refusals", logged("warning", "sec.admin.denied", during(5, 9, 30))),
    Case(REFUSES, "60 refusals in half an hour", logged("warning", "sec.ratelimit", during(5, 35, 60))),
    Case(REFUSES, "tokens made, and warnings of another kind", [
        *logged("info", "sec.token.create", during(5, 9, 50)),
        *logged("warning", "dispatch.fail", during(5, 9, 50)),
    ]),
]  # fmt: skip
