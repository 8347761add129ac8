"""From MQTT to VictoriaMetrics with a real broker and a real database, and what is left of it when parts fail.

Vector itself is the lab's stand-in; where a test is about a fault that real Vector was seen to have, it says so.
"""

import contextlib
import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from vector_support import Pipeline, flows, running

from lab.ports import free_ports
from lab.run import wait_for
from studio.model import Studio
from studio.render.vector import MAX_PACKET_BYTES

pytestmark = pytest.mark.services

PORTS = (
    "mqtt",
    "mqtt_tls",
    "victoriametrics",
    "vector_api",
    "vector_metrics",
    "vmalert",
    "alertmanager",
    "node_exporter",
)
MAIN = "furnace/main/telemetry"


def studio() -> Studio:
    return Studio.model_validate(
        {
            "name": "glassworks",
            "ports": dict(zip((*PORTS, "alloy"), free_ports(len(PORTS) + 1), strict=True)),
            "furnaces": [
                {"id": "main", "label": 'Bob\'s "big", hot = {{ one }} \\ é', "low": 1000, "high": 1200},
                {"id": "glory-hole", "unit": "F", "low": 1900, "high": 2250},
            ],
            "cameras": [{"id": "eye", "label": "Annealer"}],
            "plants": [{"id": "fern"}],
        }
    )


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """One for all tests that break nothing."""
    with running(studio(), tmp_path_factory.mktemp("pipeline")) as found:
        yield found


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Pipeline]:
    """One for a test that breaks something."""
    with running(studio(), tmp_path) as found:
        yield found


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def numbered(numbers: range, start: int) -> list[str]:
    """Temperatures that are all different, a millisecond apart."""
    return [json.dumps({"furnace_temp": 1000 + n / 100, "ts": start + n}) for n in numbers]


def stored(pipeline: Pipeline) -> set[float]:
    return {value for _, value in pipeline.samples('furnace_furnace_temp{furnace="main"}')}


def expected(numbers: range) -> set[float]:
    return {1000 + n / 100 for n in numbers}


def received(pipeline: Pipeline) -> float:
    return pipeline.metric("vector_component_received_events_total", component_id="broker")


def settled(pipeline: Pipeline) -> float:
    """What `received` comes to; Vector's own metrics are a second old."""
    counts = [received(pipeline)]
    while len(counts) < 4 or len(set(counts[-4:])) > 1:
        time.sleep(0.5)
        counts.append(received(pipeline))
    return counts[-1]


def buffered(pipeline: Pipeline) -> float:
    return pipeline.metric("vector_buffer_size_events", component_id="furnace_series")


# What arrives


def test_a_message_becomes_series_with_its_value_labels_and_time(pipeline: Pipeline) -> None:
    at = now_ms() - 60_000
    text = {"furnace_temp": 1100.25, "flame_voltage": 3.3, "burner": True, "ts": at}
    pipeline.publish(MAIN, json.dumps(text))
    wanted = {"furnace_furnace_temp": 1100.25, "furnace_flame_voltage": 3.3, "furnace_burner": 1}
    labels = {"db": "sensors", "studio": "glassworks", "furnace": "main", "label": studio().furnaces[0].title}
    for name, value in wanted.items():
        wait_for(name, lambda n=name, v=value: (at, v) in pipeline.samples(f'{n}{{furnace="main"}}'))
        found = [s["metric"] for s in pipeline.series(f'{name}{{furnace="main"}}')]
        assert found == [{"__name__": name, **labels}]


def test_fahrenheit_is_stored_in_celsius_at_the_time_of_receipt(pipeline: Pipeline) -> None:
    before = now_ms()
    pipeline.publish("furnace/glory-hole/telemetry", "2012")
    ((at, value),) = wait_for("the sample", lambda: pipeline.samples('furnace_furnace_temp{furnace="glory-hole"}'))
    assert value == 1100
    assert before <= at <= now_ms()


def test_cameras_plants_and_the_canary_have_series_of_their_own(pipeline: Pipeline) -> None:
    at = now_ms() - 5_000
    pipeline.publish(
        "camera/eye/telemetry", json.dumps({"temp_max": 912.5, "temp_min": 20, "temp_mean": 400, "ts": at})
    )
    pipeline.publish("plant/fern/state", json.dumps({"moisture": 31, "light": 1200, "ts": at}))
    pipeline.publish("pipeline/canary", json.dumps({"sent": at}))
    wait_for("the camera", lambda: pipeline.samples('camera_temp_max{camera="eye",label="Annealer"}') == [(at, 912.5)])
    wait_for("the plant", lambda: pipeline.samples('plant_moisture{plant="fern",label="fern"}') == [(at, 31)])
    wait_for("the canary", lambda: (at, at / 1000) in pipeline.samples("pipeline_canary_sent_seconds"))
    names = {series["metric"]["__name__"] for series in pipeline.series('{studio="glassworks"}')}
    kinds = {name for name in names if not name.startswith("furnace_")}
    assert kinds == {
        *("camera_temp_max", "camera_temp_min", "camera_temp_mean"),
        *("plant_moisture", "plant_light", "pipeline_canary_sent_seconds"),
    }


def test_a_second_of_flame_is_its_mean_least_most_and_number(pipeline: Pipeline) -> None:
    second = now_ms() // 1000 - 10
    volts = {s: [round(3 + s / 2 + n / 100, 2) for n in range(100)] for s in (0, 1)}
    readings = [
        json.dumps({"flame_voltage": v, "ts": (second + s) * 1000 + n * 10})
        for s in volts
        for n, v in enumerate(volts[s])
    ]
    pipeline.publish_all("furnace/main/flame", readings)
    wait_for("both seconds", lambda: len(pipeline.samples("furnace_flame_voltage_samples")) == 2)
    for name, of in (("_min", min), ("_max", max), ("_samples", len)):
        wanted = [((second + s) * 1000, of(volts[s])) for s in (0, 1)]
        assert pipeline.samples(f"furnace_flame_voltage{name}") == wanted
    means = dict(pipeline.samples('furnace_flame_voltage{furnace="main"}'))
    for s in (0, 1):
        assert means[(second + s) * 1000] == pytest.approx(fmean(volts[s]), abs=1e-6)


# What does not


BAD = {
    "not_json": [b"junk", b"", b"\xff\x00\xfe", b'{"furnace_temp": NaN}'],
    "wrong_type": [b'"1100"', b"[1]", b'{"furnace_temp": true}'],
    "missing_value": [b"{}"],
    "implausible": [b"4000", b"-60"],
    "too_old": [b'{"furnace_temp": 1100, "ts": 1000000000}'],
    "in_the_future": [b'{"furnace_temp": 1100, "ts": 4000000000}'],
    "bad_timestamp": [b'{"furnace_temp": 1100, "ts": "noon"}'],
}


def test_what_is_wrong_is_counted_by_reason_and_stored_nowhere(pipeline: Pipeline) -> None:
    def counts() -> dict[str, float]:
        return {reason: pipeline.dead_letters(reason, "furnace") for reason in BAD}

    before, samples = counts(), pipeline.samples('furnace_furnace_temp{furnace="main"}')
    for payload in [payload for payloads in BAD.values() for payload in payloads]:
        pipeline.publish(MAIN, payload)
    wanted = {reason: before[reason] + len(payloads) for reason, payloads in BAD.items()}
    wait_for("the dead letters", lambda: counts() == wanted)
    assert pipeline.samples('furnace_furnace_temp{furnace="main"}') == samples
    wait_for("messages flow", lambda: flows(pipeline))


def test_an_unknown_device_is_counted(pipeline: Pipeline) -> None:
    for topic, kind in (
        ("furnace/x/telemetry", "furnace"),
        ("camera/x/telemetry", "camera"),
        ("plant/x/state", "plant"),
    ):
        before = pipeline.dead_letters("unknown_device", kind)
        pipeline.publish(topic, "1100")
        wait_for(f"{topic} counted", lambda k=kind, b=before: pipeline.dead_letters("unknown_device", k) == b + 1)


def test_the_log_shows_a_few_of_each_kind_of_dead_letter(pipeline: Pipeline) -> None:
    before = pipeline.dead_letters("not_json", "plant")
    for n in range(50):
        pipeline.publish("plant/fern/state", f"plant junk {n}")
    wait_for("all counted", lambda: pipeline.dead_letters("not_json", "plant") == before + 50)
    shown = wait_for("a line", lambda: [line for line in pipeline.vector.said().splitlines() if "plant junk" in line])
    assert 1 <= len(shown) <= 6
    assert json.loads(shown[0])["reason"] == "not_json"


def test_other_topics_do_not_reach_it(pipeline: Pipeline) -> None:
    before = settled(pipeline)
    for topic in ("furnace/main/other", "furnace/main/cmd/off", "elsewhere", "plant/fern/state/more"):
        pipeline.publish(topic, "1100")
    assert settled(pipeline) == before


def test_a_packet_above_the_brokers_limit_costs_its_sender_the_connection_and_nobody_else(pipeline: Pipeline) -> None:
    sender = paho.Client(CallbackAPIVersion.VERSION2, client_id="a-loud-device")
    lost = []
    sender.on_disconnect = lambda *_: lost.append(True)
    sender.connect("127.0.0.1", pipeline.studio.ports.mqtt)
    sender.loop_start()
    sender.publish(MAIN, b"1" * (MAX_PACKET_BYTES + 1), qos=1)
    wait_for("the sender is cut off", lambda: lost)
    sender.loop_stop()
    wait_for("messages flow", lambda: flows(pipeline))


# When parts fail


def test_nothing_is_lost_while_the_database_is_away(own: Pipeline) -> None:
    start = now_ms() - 30_000
    own.publish_all(MAIN, numbered(range(100), start))
    wait_for("before", lambda: stored(own) == expected(range(100)))
    own.database.stop()
    end = time.monotonic() + 30
    sent = 100
    while time.monotonic() < end:
        own.publish_all(MAIN, numbered(range(sent, sent + 100), start))
        sent += 100
        time.sleep(1)
    own.database.start()
    # the back-off is at most 3 s; the default would make this up to 30
    wait_for("everything, soon after it is back", lambda: stored(own) == expected(range(sent)), 25)
    assert own.metric("vector_component_discarded_events_total", intentional="false") == 0


def test_nothing_that_is_in_the_disk_buffer_or_at_the_broker_is_lost_by_kill_9(own: Pipeline) -> None:
    start = now_ms() - 10_000
    own.database.stop()
    own.publish_all(MAIN, numbered(range(500), start))
    wait_for("they are in the buffer", lambda: buffered(own) == 500)
    own.vector.kill()
    own.publish_all(MAIN, numbered(range(500, 1500), start))
    own.vector.start()
    # the broker may not have heard the last acknowledgements: at least once
    wait_for("all are in the buffer", lambda: buffered(own) >= 1500)
    own.vector.kill()
    own.database.start()
    own.vector.start()
    wait_for("all of them", lambda: stored(own) == expected(range(1500)))


def test_kill_9_in_the_middle_of_a_stream_costs_no_more_than_one_batch(own: Pipeline) -> None:
    """Vector acknowledges to the broker before a message is in any buffer, so what is in between can be lost."""
    start = now_ms() - 60_000
    sent = 0
    for _ in range(5):
        for n in range(sent, sent + 400):
            own.client.publish(MAIN, numbered(range(n, n + 1), start)[0], 1)
        sent += 400
        time.sleep(0.1)
        own.vector.kill()
        own.vector.start()
    wait_for("the last of them", lambda: 1000 + (sent - 1) / 100 in stored(own), 30)
    missing = expected(range(sent)) - stored(own)
    assert len(missing) <= 5 * 100  # the broker has at most 100 messages unacknowledged on their way
    wait_for("messages flow", lambda: flows(own))


def test_a_stop_delivers_what_is_on_its_way(own: Pipeline) -> None:
    own.publish_all(MAIN, numbered(range(300), now_ms() - 10_000))
    own.publish("furnace/main/flame", "3.3")
    wait_for("it is received", lambda: received(own) >= 301)
    assert own.vector.stop() == 0
    assert stored(own) == expected(range(300))
    assert [value for _, value in own.samples("furnace_flame_voltage_samples")] == [1]


def test_a_stop_while_the_database_is_away_keeps_it_on_disk(own: Pipeline) -> None:
    own.database.stop()
    own.publish_all(MAIN, numbered(range(100), now_ms() - 10_000))
    wait_for("they are in the buffer", lambda: buffered(own) == 100)
    own.vector.stop()
    own.database.start()
    own.vector.start()
    wait_for("all of them", lambda: stored(own) == expected(range(100)))


def test_a_broker_that_keeps_its_session_goes_on_by_itself(own: Pipeline) -> None:
    own.broker.stop()
    own.broker.start()
    wait_for("messages flow again", lambda: reconnected(own) and flows(own))


def reconnected(pipeline: Pipeline) -> bool:
    return pipeline.client.is_connected()


def test_a_broker_that_lost_its_session_leaves_vector_silent_until_it_is_restarted(own: Pipeline) -> None:
    """As measured with real Vector; only what watches the flow of data can notice."""
    own.broker.stop(signal.SIGKILL)
    shutil.rmtree(own.broker_data)
    own.broker_data.mkdir()
    own.broker.start()
    wait_for("both are connected again", lambda: reconnected(own) and connected(own, "vector-glassworks"))
    assert not any(flows(own) for _ in range(3))
    own.vector.stop()
    own.vector.start()
    wait_for("messages flow again", lambda: flows(own))


def connected(pipeline: Pipeline, client_id: str) -> bool:
    """Whether the broker's log since its last start tells of this client."""
    return f"as {client_id} " in pipeline.broker.said().rpartition("starting")[2]


def test_a_packet_too_big_for_vector_stops_it_for_ever(tmp_path: Path) -> None:
    """Why the broker's limit must not be above Vector's: at QoS 1 the broker sends it again at every connection."""
    with running(studio(), tmp_path, broker_packet_bytes=2 * MAX_PACKET_BYTES) as own:
        wait_for("messages flow", lambda: flows(own))
        own.publish(MAIN, b"1" * (MAX_PACKET_BYTES + 1000))
        wait_for("it reconnects again and again", lambda: own.broker.said().count("as vector-glassworks ") > 5)
        assert not any(flows(own) for _ in range(3))
        own.vector.stop()
        with contextlib.suppress(AssertionError):
            own.vector.start()
        assert not flows(own)
