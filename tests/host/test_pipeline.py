"""From a device's message over TLS to the answer of a query, and what becomes of messages that are no good."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import paho.mqtt.client as paho
import pytest
from deploy_support import StudioHost
from pipeline_support import CA, MAIN, Device, connected, dead_letters, metric, now_ms, samples, series

from lab import network
from lab.run import wait_for
from lab.studio_host import secret
from studio.render.accounts import MAX_PACKET_BYTES

pytestmark = pytest.mark.lab
TEMPERATURES = 'furnace_furnace_temp{furnace="main"}'
TESTER, TESTERS_PASSWORD = "tester", "only in this test"
MEGABYTE = 1_000_000
ELSEWHERE = "test-pipeline-device"
ELSEWHERES_NUMBER = 251  # no host of the lab has one above 250

SEND_ONE = """
import ssl, sys, time, paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
host, port, ca, user, password, topic, payload = sys.stdin.read().split("\\n")
client = paho.Client(CallbackAPIVersion.VERSION2, client_id=user)
client.username_pw_set(user, password)
client.tls_set_context(ssl.create_default_context(cafile=ca))
client.connect(host, int(port))
client.loop_start()
sent = client.publish(topic, payload, 1)
sent.wait_for_publish(20)
sys.exit(0 if sent.is_published() else 1)
"""


@pytest.fixture(scope="module")
def main(studio: StudioHost) -> Iterator[Device]:
    """The main furnace's device."""
    with connected(studio, "device-main") as device:
        yield device


@pytest.fixture(scope="module")
def anybody(studio: StudioHost) -> Iterator[Device]:
    """An account that may publish to every topic, as no device may: written where what the hub asked for is kept."""
    hashed = studio.host.exec(["python3", "-c", HASH], stdin=TESTERS_PASSWORD).stdout.strip()
    role = {"id": TESTER, "permissions": [{"topic": "#", "activity": "PUBLISH"}]}
    added = {"users": [{"name": TESTER, "hash": hashed, "roles": [TESTER]}], "roles": [role]}
    studio.host.write("/var/lib/sensor-pipeline/state/broker-users.d/hub.json", json.dumps(added))
    studio.hostctl("step", "broker", str(studio.status()["generation"]))
    wait_for("the broker knows the account", lambda: not refusals(studio, TESTER, TESTERS_PASSWORD))
    with connected(studio, TESTER, TESTERS_PASSWORD) as device:
        yield device


def refusals(studio: StudioHost, user: str, password: str) -> list[str]:
    """What the broker says to somebody who wants to be let in; nothing when it does let them in."""
    with connected(studio, user, password, protocol=paho.MQTTv5) as device:
        return device.refused


HASH = """
import sys
sys.path.insert(0, "/var/lib/sensor-pipeline/current/bin/hostctl.pyz")
from hostctl.broker import SALT_BYTES, new_hash
import os
print(new_hash(sys.stdin.read().encode(), os.urandom(SALT_BYTES)))
"""


def flows(studio: StudioHost, device: Device) -> None:
    """A message sent now is stored exactly as it was sent."""
    at = now_ms()
    device.publish(MAIN, json.dumps({"furnace_temp": 1111.5, "ts": at}))
    wait_for("a good message arrives", lambda: (at, 1111.5) in samples(studio, TEMPERATURES))


def everything(at: int) -> str:
    """A message that any transform would make a sample of, at this time."""
    return json.dumps({"furnace_temp": 1001, "temp_max": 1001, "moisture": 1, "sent": at, "ts": at})


def stored_at(studio: StudioHost, at: int) -> list[str]:
    """The names of the series that have a sample of exactly this time."""
    found = series(studio, '{studio="lab"}', at)
    return [one["metric"]["__name__"] for one in found if at in one["timestamps"]]


# What arrives


def test_a_message_becomes_series_with_its_value_labels_and_time(studio: StudioHost, main: Device) -> None:
    at = now_ms() - 60_000
    main.publish(MAIN, json.dumps({"furnace_temp": 1100.25, "flame_voltage": 3.3, "burner": True, "ts": at}))
    labels = {"db": "sensors", "studio": "lab", "furnace": "main", "label": "Main furnace"}
    for name, value in {"furnace_furnace_temp": 1100.25, "furnace_flame_voltage": 3.3, "furnace_burner": 1}.items():
        selector = f'{name}{{furnace="main"}}'
        wait_for(name, lambda s=selector, v=value: (at, v) in samples(studio, s))
        assert [s["metric"] for s in series(studio, selector)] == [{"__name__": name, **labels}]


def test_fahrenheit_as_a_bare_number_is_stored_in_celsius_at_the_time_of_receipt(studio: StudioHost) -> None:
    before, selector = now_ms(), 'furnace_furnace_temp{furnace="glory-hole"}'
    with connected(studio, "device-glory-hole") as device:
        device.publish("furnace/glory-hole/telemetry", "2012")
    after = now_ms()
    ((at, value),) = wait_for("the sample", lambda: samples(studio, selector, before))
    assert value == 1100
    assert before <= at <= after + 5_000
    ((found),) = series(studio, selector)
    assert found["metric"]["label"] == "Glory hole"


def test_a_second_of_flame_is_its_mean_least_most_and_number(studio: StudioHost, main: Device) -> None:
    second = now_ms() // 1000 - 4
    volts = {s: [round(3 + s / 2 + n / 100, 2) for n in range(100)] for s in (0, 1)}
    for s, readings in volts.items():
        for n, volt in enumerate(readings):
            main.client.publish(
                "furnace/main/flame", json.dumps({"flame_voltage": volt, "ts": (second + s) * 1000 + n}), 1
            )
    wanted = [(second + s) * 1000 for s in (0, 1)]
    count = 'furnace_flame_voltage_samples{furnace="main"}'
    wait_for("both seconds, whole", lambda: samples(studio, count, wanted[0]) == [(at, 100) for at in wanted])
    for name, of in (("_min", min), ("_max", max)):
        found = samples(studio, f'furnace_flame_voltage{name}{{furnace="main"}}', wanted[0])
        assert found == [((second + s) * 1000, of(volts[s])) for s in (0, 1)]
    means = dict(samples(studio, 'furnace_flame_voltage{furnace="main"}'))
    for s in (0, 1):
        assert means[(second + s) * 1000] == pytest.approx(fmean(volts[s]), abs=1e-6)


def test_cameras_and_plants_have_series_of_their_own(studio: StudioHost) -> None:
    at = now_ms()
    camera = {"temp_max": 912.5, "temp_min": 20, "temp_mean": 400}
    plant = {"moisture": 31, "temperature": 21.5, "light": 1200, "battery": 88}
    with connected(studio, "device-annealer-eye") as device:
        device.publish("camera/annealer-eye/telemetry", json.dumps({**camera, "ts": at}))
    with connected(studio, "device-fern") as device:
        device.publish("plant/fern/state", json.dumps({**plant, "ts": at}))
    for kind, device_id, label, values in (
        ("camera", "annealer-eye", "Annealer", camera),
        ("plant", "fern", "Fern", plant),
    ):
        selector = f'{{{kind}="{device_id}"}}'
        wait_for(kind, lambda s=selector, v=values: len(series(studio, s, at)) == len(v))
        for found in series(studio, selector, at):
            name = found["metric"]["__name__"].removeprefix(f"{kind}_")
            assert (found["timestamps"], found["values"]) == ([at], [values.pop(name)])
            assert {**found["metric"], "__name__": ""} == {
                **{"__name__": "", "db": "sensors", "studio": "lab", kind: device_id, "label": label}
            }
        assert values == {}


def test_a_device_elsewhere_on_the_studios_network_reaches_the_brokers_tls_port_alone(
    studio: StudioHost, tmp_path: Path
) -> None:
    """A network namespace of its own, joined to the host's by a bridge as by a switch."""
    host = studio.host
    at = now_ms()
    ca = tmp_path / "ca.crt"
    ca.write_text(host.read(CA))
    network.connect(ELSEWHERE, ELSEWHERES_NUMBER, f"10.77.0.{ELSEWHERES_NUMBER}")
    inside = ["ip", "netns", "exec", network.namespace(ELSEWHERE)]
    try:
        message = [MAIN, json.dumps({"furnace_temp": 1099.125, "ts": at})]
        words = [host.address, "8883", str(ca), "device-main", secret(host, "device-main"), *message]
        done = subprocess.run(
            [*inside, sys.executable, "-c", SEND_ONE],
            input="\n".join(words),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for port in ("1883", "8428", "8686", "9598", "8880", "9093", "9100"):
            probe = ["timeout", "3", "bash", "-c", f"exec 3<>/dev/tcp/{host.address}/{port}"]
            assert subprocess.run([*inside, *probe], capture_output=True, check=False).returncode != 0, port
        open_port = ["timeout", "10", "bash", "-c", f"exec 3<>/dev/tcp/{host.address}/8883"]
        assert subprocess.run([*inside, *open_port], check=False).returncode == 0, "else the refusals prove nothing"
    finally:
        network.disconnect(ELSEWHERE, last=False)
    wait_for("the message", lambda: (at, 1099.125) in samples(studio, TEMPERATURES))


# What does not


BAD = {
    "not_json": [b"junk", b"", b"\xff\x00\xfe", b'{"furnace_temp": NaN}', b'{"furnace_temp": 1e999}', b"nan"],
    "wrong_type": [b'"1100"', b"[1]", b"true", b"null", b'{"furnace_temp": true}', b'{"furnace_temp": "1100"}'],
    "missing_value": [b"{}", b'{"temp": 1100}'],
    "implausible": [b"4000", b"-60", b'{"furnace_temp": 1100, "flame_voltage": 51}'],
    "too_old": [b'{"furnace_temp": 1100, "ts": 1000000000}', b'{"furnace_temp": 1100, "ts": 0}'],
    "in_the_future": [b'{"furnace_temp": 1100, "ts": 4000000000}'],
    "bad_timestamp": [b'{"furnace_temp": 1100, "ts": "noon"}', b'{"furnace_temp": 1100, "ts": 1e300}'],
    "too_large": [b"1" * MEGABYTE, b'{"furnace_temp": 1100, "x": "' + b"x" * MEGABYTE + b'"}', b"[" * MEGABYTE],
}


def test_what_is_wrong_is_counted_by_reason_and_harmless(studio: StudioHost, main: Device) -> None:
    def counts() -> dict[str, float]:
        return {reason: dead_letters(studio, reason, "furnace") for reason in BAD}

    flows(studio, main)
    before, stored, pids = counts(), samples(studio, TEMPERATURES), studio.pids()
    for payload in [payload for payloads in BAD.values() for payload in payloads]:
        main.publish(MAIN, payload)
    wanted = {reason: before[reason] + len(payloads) for reason, payloads in BAD.items()}
    wait_for("every one of them is counted", lambda: counts() == wanted)
    assert samples(studio, TEMPERATURES) == stored
    flows(studio, main)
    assert main.lost == [], "its sender is not cut off"
    assert counts() == wanted
    assert studio.pids() == pids


@pytest.mark.parametrize(
    ("user", "kind", "topic"),
    [
        ("device-main", "flame", "furnace/main/flame"),
        ("device-annealer-eye", "camera", "camera/annealer-eye/telemetry"),
        ("device-fern", "plant", "plant/fern/state"),
    ],
)
def test_every_kind_counts_junk_wrong_types_and_megabytes(studio: StudioHost, user: str, kind: str, topic: str) -> None:
    bad = {"not_json": b"junk", "wrong_type": b"[1]", "missing_value": b"{}", "too_large": b"1" * MEGABYTE}
    before = {reason: dead_letters(studio, reason, kind) for reason in bad}
    with connected(studio, user) as device:
        for payload in bad.values():
            device.publish(topic, payload)
    wanted = {reason: count + 1 for reason, count in before.items()}
    wait_for("all counted", lambda: {reason: dead_letters(studio, reason, kind) for reason in bad} == wanted)


def test_a_packet_above_the_brokers_limit_costs_its_sender_the_connection_and_nobody_else(
    studio: StudioHost, main: Device
) -> None:
    pids, received = studio.pids(), metric(studio, "vector_component_received_events_total", component_id="broker")
    with connected(studio, "device-main") as loud:
        loud.client.publish(MAIN, b"1" * (MAX_PACKET_BYTES + 1), 1)
        wait_for("it is cut off", lambda: loud.lost)
    flows(studio, main)
    assert main.lost == []
    assert studio.pids() == pids
    after = metric(studio, "vector_component_received_events_total", component_id="broker")
    assert after > received, "the same Vector has gone on"


def test_the_log_shows_a_few_dead_letters_of_a_kind_each_cut_short(studio: StudioHost, anybody: Device) -> None:
    before = dead_letters(studio, "not_json", "plant")
    for n in range(100):
        anybody.client.publish("plant/basil/state", f"throttled junk {n} {'x' * 5000}", 1)
    wait_for("all counted", lambda: dead_letters(studio, "not_json", "plant") == before + 100)

    def shown() -> list[str]:
        said = studio.host.exec("journalctl -o cat CONTAINER_NAME=vector --since -10min").stdout
        return [line for line in said.splitlines() if "throttled junk" in line]

    lines = wait_for("a line", shown)
    assert 1 <= len(lines) <= 10
    for line in lines:
        told = json.loads(line)
        assert (told["reason"], told["kind"], told["topic"]) == ("not_json", "plant", "plant/basil/state")
        assert len(line) < 700


def test_devices_that_are_not_in_the_inventory_are_counted_and_stored_nowhere(
    studio: StudioHost, anybody: Device
) -> None:
    topics = {
        "furnace": "furnace/stranger/telemetry",
        "flame": "furnace/stranger/flame",
        "camera": "camera/stranger/telemetry",
        "plant": "plant/stranger/state",
    }
    before = {kind: dead_letters(studio, "unknown_device", kind) for kind in topics}
    for topic in topics.values():
        anybody.publish(topic, "1100")
    wanted = {kind: count + 1 for kind, count in before.items()}
    wait_for("all counted", lambda: {k: dead_letters(studio, "unknown_device", k) for k in topics} == wanted)
    assert series(studio, '{__name__=~".+",furnace="stranger"}') == []


def test_wrong_topics_are_counted_when_vector_hears_them_and_cost_nothing_else(
    studio: StudioHost, anybody: Device, main: Device
) -> None:
    before, at = dead_letters(studio, "unknown_topic", "unknown"), now_ms()
    names = {s["metric"]["__name__"] for s in series(studio, '{studio="lab"}')}
    heard = ["furnace//telemetry", "camera//telemetry"]
    for topic in ("furnace/main/other", "furnace/main/cmd/off", "elsewhere", "plant/fern/state/more", *heard):
        anybody.publish(topic, everything(at))
    wait_for("those are counted", lambda: dead_letters(studio, "unknown_topic", "unknown") == before + len(heard))
    flows(studio, main)
    assert not stored_at(studio, at)
    assert {s["metric"]["__name__"] for s in series(studio, '{studio="lab"}')} == names
    assert dead_letters(studio, "unknown_topic", "unknown") == before + len(heard)


# Who may not


@pytest.mark.parametrize(
    "topic", ["furnace/glory-hole/telemetry", "furnace/main/cmd/off", "pipeline/canary", "plant/fern/state"]
)
def test_a_device_may_publish_to_its_own_topics_alone(studio: StudioHost, main: Device, topic: str) -> None:
    at = now_ms()
    with connected(studio, "device-main", protocol=paho.MQTTv5) as device:
        device.client.publish(topic, everything(at), 1)
        wait_for("the broker refuses", lambda: device.refused or device.lost)
        assert "Not authorized" in {*device.refused, *device.lost}
    flows(studio, main)
    assert not stored_at(studio, at)


@pytest.mark.parametrize(("user", "password"), [("device-main", "wrong"), ("nobody", "x"), ("", "")])
def test_nobody_is_let_in_without_an_account(studio: StudioHost, user: str, password: str) -> None:
    said = refusals(studio, user, password)
    assert said
    assert {*said} <= {"Not authorized", "Bad user name or password"}
