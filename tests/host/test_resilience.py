"""What is lost when a part of the pipeline is away, at 100 messages a second: nothing that the broker had acknowledged.

Each test's device sends numbered messages throughout and afterwards everything that VictoriaMetrics holds is compared
with everything that was acknowledged. Two exceptions, each with its bound:

- Vector acknowledges a message to the broker before it is in a sink's buffer (it has no end-to-end acknowledgements for
  MQTT), so that what it has in its hands at the instant it is killed, one read of its socket at most, is lost;
- what only the broker had is lost with its data, and until monit has noticed, it has nobody to give messages to.
"""

import time

import pytest
from deploy_support import StudioHost
from numbered import HERTZ, Numbered, numbered
from pipeline_support import metric

from lab.run import wait_for

pytestmark = pytest.mark.lab
OUTAGE_SECONDS = 60
BACK_SECONDS = 120
CAUGHT_UP_SECONDS = 120
ONE_READ = 10
"""Vector's MQTT client takes at most ten packets from its socket before it acknowledges them."""
VOLUME = "/home/studio/.local/share/containers/storage/volumes/hivemq-data/_data"


@pytest.fixture(autouse=True)
def healthy(studio: StudioHost) -> None:
    """Each test begins with everything as it should be, whatever the one before it broke."""

    def settled() -> bool:
        return all(c["health"] == "healthy" for c in studio.status()["components"])

    studio.host.exec("systemctl start monit")
    wait_for("everything is healthy", settled, 120, 2)
    studio.canary()


def systemctl(studio: StudioHost, verb: str, component: str, *options: str) -> None:
    studio.host.exec(["systemctl", "--user", "-M", "studio@", verb, *options, f"{component}.service"], timeout=180)


def away(studio: StudioHost, component: str) -> None:
    """Stop a component and let it stay away for the whole outage: monit, which would bring it back, is stopped too."""
    studio.host.exec("systemctl stop monit")
    systemctl(studio, "stop", component)
    until = time.monotonic() + OUTAGE_SECONDS
    while time.monotonic() < until:
        time.sleep(min(10, max(0.0, until - time.monotonic())))
        state = studio.host.exec(
            ["systemctl", "--user", "-M", "studio@", "is-active", f"{component}.service"], check=False
        ).stdout.strip()
        assert state in {"inactive", "failed"}, f"{component} is {state}: the outage was too short to prove anything"


def back(studio: StudioHost, component: str) -> None:
    systemctl(studio, "start", component, "--no-block")
    studio.host.exec("systemctl start monit")


def all_stored(device: Numbered, wanted: set[int]) -> None:
    """Return when VictoriaMetrics has all these numbers."""
    until = time.monotonic() + CAUGHT_UP_SECONDS
    while missing := wanted - device.stored():
        told = f"{len(missing)} of {len(wanted)} are lost, from {min(missing)} to {max(missing)}"
        assert time.monotonic() < until, told
        time.sleep(2)


def whole(device: Numbered) -> None:
    """Everything that was sent was acknowledged, and that and nothing else is stored."""
    sent = device.finish()
    assert sent == set(range(device.sent))
    all_stored(device, sent)
    assert device.stored() == sent


def furnace_messages(studio: StudioHost) -> int:
    """How many messages of furnaces Vector has taken since it started; somewhat less, since it tells every second."""
    return int(metric(studio, "vector_component_received_events_total", component_id="furnace"))


def at_rest(studio: StudioHost) -> int:
    """The same, exactly, once nothing more comes."""
    told = [-2, -1]
    while len(set(told[-3:])) > 1:
        time.sleep(1.5)
        told.append(furnace_messages(studio))
    return told[-1]


def test_victoriametrics_away_for_a_minute(studio: StudioHost) -> None:
    with numbered(studio) as device:
        away(studio, "victoriametrics")
        assert device.sent >= OUTAGE_SECONDS * HERTZ
        back(studio, "victoriametrics")
        device.flowing(BACK_SECONDS)
        whole(device)


def test_vector_killed_for_a_minute(studio: StudioHost) -> None:
    with numbered(studio) as device:
        before = device.sent
        systemctl(studio, "kill", "vector", "--signal=KILL", "--kill-whom=all")
        after = device.sent
        away(studio, "vector")
        back(studio, "vector")
        device.flowing(BACK_SECONDS)
        sent = device.finish()
        assert sent == set(range(device.sent))
        all_stored(device, sent - set(range(before - 5 * HERTZ, after)))
        in_its_hands = sent - device.stored()
        assert len(in_its_hands) <= ONE_READ, sorted(in_its_hands)
        print(f"{len(in_its_hands)} of {len(sent)} lost: what Vector had in its hands")


def test_vector_stopped_in_order(studio: StudioHost) -> None:
    with numbered(studio) as device:
        systemctl(studio, "restart", "vector", "--no-block")
        device.flowing(BACK_SECONDS)
        whole(device)


def test_broker_restarted_with_its_data(studio: StudioHost) -> None:
    with numbered(studio) as device:
        systemctl(studio, "restart", "hivemq", "--no-block")
        device.flowing(BACK_SECONDS)
        whole(device)


def test_broker_restarted_without_its_data(studio: StudioHost) -> None:
    """Vector stays connected and silent, as the real one does; the canary tells monit, which restarts Vector."""
    earlier, vector = at_rest(studio), studio.pids()["vector"]
    with numbered(studio) as device:
        wait_for("Vector takes messages", lambda: furnace_messages(studio) - earlier > 3 * HERTZ, 30)
        in_vector = furnace_messages(studio) - earlier
        systemctl(studio, "stop", "hivemq")
        studio.host.exec(f"find {VOLUME} -mindepth 1 -delete")
        at_start = device.sent
        systemctl(studio, "start", "hivemq", "--no-block")
        device.flowing(BACK_SECONDS)
        assert studio.pids()["vector"] != vector, "only a restart cures it"
        sent = device.finish()
        assert sent == set(range(device.sent))
        lost = wait_for("one gap", lambda: gap(sent - device.stored(), device.sent), CAUGHT_UP_SECONDS, 2)
        # from what the broker alone had to the moment at which Vector was there again
        assert in_vector <= min(lost) < at_start
        assert max(lost) - at_start < BACK_SECONDS * HERTZ
        seconds = (max(lost) - at_start) / HERTZ
        print(
            f"{len(lost)} of {len(sent)} lost with the broker's data; Vector was back {seconds:.0f} s after its start"
        )


def gap(missing: set[int], sent: int) -> set[int]:
    """What is missing when that is one run of numbers with stored ones behind it, else nothing."""
    return missing if missing and max(missing) < sent - 1 and len(missing) == max(missing) - min(missing) + 1 else set()
