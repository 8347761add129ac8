"""The hub in a deployed studio: devices that it provisions get to the broker at once, and it is kept right."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import requests
from deploy_support import StudioHost, restarted
from hub_host import HubHost, Provisioned, in_time, refused, welcome
from paho.mqtt.enums import CallbackAPIVersion
from verify_support import verify

pytestmark = pytest.mark.lab
SPOOL = "/var/lib/sensor-pipeline/state/hub/accounts"
EVENTS = "/opt/projectplant/data/provisioning/events.jsonl"
KNOWN_LATER = {"monit finds nothing wrong", "furnace sends"}
"""What depends on time and on data, which no test here is about."""


@pytest.fixture
def hub(studio: StudioHost) -> HubHost:
    """The hub of the studio, which stays as its inventory says."""
    return HubHost(studio)


@pytest.fixture
def changing(hub: HubHost) -> Iterator[HubHost]:
    """The same for a test that changes the repository: what it says is deployed again when the test is done."""
    yield hub
    hub.studio.restore()
    hub.studio.must_deploy()
    hub.studio.settled(60)


def wait_for(what: str, condition: Any, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)


def test_the_host_is_verified_with_its_hub(hub: HubHost) -> None:
    told = verify(hub.studio)
    assert {key for key in told.failed if key[0] not in KNOWN_LATER} == set()
    assert ("hub tells nothing without a login", "hub") in told.keys("ok")
    assert ("no secret is to be seen in", "generations") in told.keys("ok")
    assert ("listens as declared", "hub") in told.keys("ok")


def test_a_provisioned_device_is_let_in_at_once_to_its_own_topics_alone(hub: HubHost) -> None:
    key = hub.key()
    eyes = [hub.provision("warm-up", key)]
    seconds = []
    for n in range(3):
        eyes.append(hub.provision(f"eye-{n}", key))
        seconds.append(hub.seconds_until(eyes[-1], welcome))
    in_time(seconds)
    eye = eyes[2]
    session = hub.session(eye)
    assert session.publish("camera/eye-1/telemetry", '{"temp_max": 1}') in ("Success", "No matching subscribers")
    assert session.subscribe("camera/eye-1/cmd/#").startswith("Granted")
    assert session.subscribe("camera/warm-up/cmd/#") == "Not authorized"
    assert session.publish("furnace/main/telemetry", "1") == "Not authorized"
    session.close()
    assert refused(hub.login(Provisioned("eye-1", eye.login, "wrong")))


def test_a_revoked_device_is_refused_at_once_and_the_others_are_not(hub: HubHost) -> None:
    key = hub.key()
    stays, *go = [hub.provision(name, key) for name in ("stays", "goes-0", "goes-1", "goes-2")]
    hub.seconds_until(go[-1], welcome)
    seconds = []
    for gone in go:
        hub.must("DELETE", f"/admin/devices/{gone.device}")
        seconds.append(hub.seconds_until(gone, refused))
    in_time(seconds)
    assert welcome(hub.login(stays))


def test_accounts_survive_restarts_a_rollback_and_a_reboot(changing: HubHost) -> None:
    studio = changing.studio
    eye = changing.provision("lasting", changing.key())
    changing.seconds_until(eye, welcome)
    studio.edit("inventories/lab.yaml", "no_data_minutes: 2, flame_voltage", "no_data_minutes: 3, flame_voltage")
    studio.must_deploy()
    assert welcome(changing.login(eye)), "after a deploy"
    studio.hostctl("rollback")
    assert welcome(changing.login(eye)), "after a rollback"
    studio.hostctl("restart", "hivemq")
    studio.hostctl("restart", "hub")
    changing.seconds_until(eye, welcome)
    studio.host.reboot()
    studio.settled(90)
    changing.seconds_until(eye, welcome)


def test_a_broken_file_is_refused_and_harms_nobody(hub: HubHost) -> None:
    eye = hub.provision("careful", hub.key())
    hub.seconds_until(eye, welcome)
    for n, content in enumerate(("{", "[]", '{"users": 1}')):
        hub.studio.host.write(f"{SPOOL}/hub.json", content)
        wait_for("the file is refused", lambda: hub.provisioned()["refused"])
        assert "it is no JSON object" in hub.provisioned()["refused"]
        assert "are refused" in hub.studio.hostctl("status").stdout
        assert welcome(hub.login(eye))
        hub.provision(f"another-{n}", hub.key())
        wait_for("the next file is taken", lambda: hub.provisioned()["refused"] is None)


def test_a_file_that_asks_for_more_gets_nothing_of_it(hub: HubHost) -> None:
    eye = hub.provision("modest", hub.key())
    hub.seconds_until(eye, welcome)
    taken = json.loads(hub.studio.host.read("/var/lib/sensor-pipeline/state/broker-users.d/hub.json"))
    modest = next(u for u in taken["users"] if u["name"] == eye.login)
    everything = {"id": "provisioned-x", "permissions": [{"topic": "#", "activity": "SUBSCRIBE"}]}
    greedy = [
        {**modest, "name": "greedy", "roles": ["provisioned-x"]},
        {**modest, "name": "posing", "roles": ["vector"]},
    ]
    asked = {"users": [*taken["users"], *greedy], "roles": [*taken["roles"], everything]}
    hub.studio.host.write(f"{SPOOL}/hub.json", json.dumps(asked))
    wait_for("it is looked at", lambda: len(hub.provisioned()["left_out"]) == 3)
    assert welcome(hub.login(eye))
    for name in ("greedy", "posing"):
        assert refused(hub.login(Provisioned(name, name, eye.password)))


def test_a_burst_of_devices_neither_stops_the_watch_nor_loses_one(hub: HubHost) -> None:
    key = hub.key()
    eyes = [hub.provision(f"burst-{n}", key) for n in range(25)]
    hub.seconds_until(eyes[-1], welcome)
    assert all(welcome(hub.login(eye)) for eye in eyes)
    state = hub.studio.host.exec("systemctl is-active sensor-pipeline-accounts.path", check=False).stdout.strip()
    assert state == "active"


def test_killed_it_comes_back_with_all_that_it_knew(hub: HubHost) -> None:
    hub.provision("remembered", hub.key())
    before = hub.studio.pids()
    hub.studio.host.exec(f"kill -9 {before['hub']}")
    wait_for("another hub runs", lambda: hub.studio.pids()["hub"] not in (0, before["hub"]), 60)
    hub.studio.settled(60)
    assert restarted(before, hub.studio.pids()) == {"hub"}
    assert "remembered" in {d["device_id"] for d in hub.must("GET", "/admin/devices")}


def test_a_changed_file_of_the_hub_restarts_the_hub_alone(changing: HubHost) -> None:
    studio, before = changing.studio, changing.studio.pids()
    studio.host.exec("echo '/* another look */' >> /srv/repository/hub/page/page.css")
    done = studio.must_deploy()
    assert "Get the image of hub" in done.changed
    assert "Get the image of vector" not in done.changed
    assert restarted(before, studio.pids()) == {"hub"}
    assert "another look" in changing.ask("GET", "/static/page.css", admin=False).text
    assert studio.must_deploy().changed == []


def test_a_hub_that_does_not_come_up_is_undone(changing: HubHost) -> None:
    studio = changing.studio
    told, before = studio.settled(), studio.pids()
    studio.edit("hub/health.py", 'endswith(b" 200 OK")', 'endswith(b" 299 No")')
    done = studio.deploy()
    assert done.code == 1
    assert f"{told['generation']} is in use again and healthy" in done.err
    assert restarted(before, studio.pids()) == {"hub"}
    assert changing.must("GET", "/readyz")["status"] == "ok"


def test_a_hub_that_cannot_be_built_never_reaches_what_runs(changing: HubHost) -> None:
    before = changing.studio.pids()
    changing.studio.edit("hub/requirements.lock", "--hash=sha256:", "--hash=sha256:0")
    done = changing.studio.deploy()
    assert done.code == 1
    assert "could not build localhost/sensor-pipeline/hub:" in done.err
    assert "Traceback" not in done.err
    assert changing.studio.pids() == before


def test_on_the_studios_network_it_speaks_tls(hub: HubHost, tmp_path: Any) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_text(hub.studio.host.read("/var/lib/sensor-pipeline/state/tls/ca.crt"))
    secured = f"https://127.0.0.1:{hub.studio.host.port(8443)}"
    assert requests.get(f"{secured}/healthz", verify=str(authority), timeout=10).status_code == 200
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{secured}/healthz", timeout=10)
    answer = over_mqtt(hub, {**hub.key(), "deviceName": "over-mqtt"})
    assert answer["status"] == "SUCCESS"
    eye = Provisioned("over-mqtt", answer["credentialsValue"], answer["credentialsValue"])
    hub.seconds_until(eye, welcome)


def over_mqtt(hub: HubHost, request: dict[str, str]) -> dict[str, Any]:
    """Provision as a device does: ThingsBoard's protocol over MQTT with TLS."""
    answers: list[dict[str, Any]] = []
    came = threading.Event()

    def heard(_client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        answers.append(json.loads(message.payload))
        came.set()

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set("provision")
    client.tls_set_context(hub.trust())
    client.on_message = heard
    client.on_connect = lambda c, d, f, reason, p: c.subscribe("/provision/response")
    client.on_subscribe = lambda c, d, mid, reasons, p: c.publish("/provision/request", json.dumps(request))
    client.connect("127.0.0.1", hub.studio.host.port(8884))
    client.loop_start()
    try:
        assert came.wait(20), "no answer"
    finally:
        client.disconnect()
        client.loop_stop()
    return answers[0]


def test_a_device_that_comes_online_is_an_event_that_log_readers_may_read(hub: HubHost) -> None:
    fern = Provisioned("fern", "device-fern", hub.studio.hostctl("secrets", "show", "device-fern").stdout.strip())
    session = hub.session(fern)
    assert session.publish("plant/fern/state", '{"moisture": 40}') == "Success"
    session.close()
    read = f"runuser -u nobody -g adm -- cat {EVENTS}"
    wait_for("the event is written", lambda: '"state_message"' in hub.studio.host.exec(read, check=False).stdout)
    other = hub.studio.host.exec(f"runuser -u nobody -- cat {EVENTS}", check=False)
    assert "Permission denied" in other.stderr


def test_with_mosquitto_it_is_the_same_and_a_revoked_devices_session_ends(changing: HubHost) -> None:
    studio = changing.studio
    eye = changing.provision("moved", changing.key())
    studio.edit("inventories/lab.yaml", "network: 10.77", "broker: mosquitto\nnetwork: 10.77")
    studio.must_deploy()
    studio.settled(60)
    assert welcome(changing.login(eye)), "an account from before"
    key = changing.key()
    several, seconds = [], []
    for n in range(3):
        several.append(changing.provision(f"new-{n}", key))
        seconds.append(changing.seconds_until(several[-1], welcome))
    in_time(seconds)
    new = several[0]
    session = changing.session(new)
    assert session.publish("camera/new-0/telemetry", "{}") in ("Success", "No matching subscribers")
    assert session.publish("camera/moved/telemetry", "{}") == "Not authorized"
    seconds = []
    for one in several:
        changing.must("DELETE", f"/admin/devices/{one.device}")
        seconds.append(changing.seconds_until(one, refused))
    in_time(seconds)
    wait_for("its session is ended", lambda: "disconnect" in session.answers, 5)
    session.close()
    assert welcome(changing.login(eye))


def test_a_studio_without_hub_has_none_of_its_devices(changing: HubHost) -> None:
    eye = changing.provision("orphan", changing.key())
    changing.seconds_until(eye, welcome)
    changing.studio.edit("inventories/lab.yaml", "hub: {tls: true}", "hub: {enabled: false}")
    changing.studio.must_deploy()
    assert "hub" not in {c["name"] for c in changing.studio.settled()["components"]}
    assert refused(changing.login(eye))
    with pytest.raises(requests.exceptions.ConnectionError):
        changing.ask("GET", "/healthz")
    units = changing.studio.host.exec(
        "systemctl list-unit-files 'sensor-pipeline-accounts*' --no-legend", check=False
    ).stdout
    assert units == ""
    changing.studio.restore()
    changing.studio.must_deploy()
    changing.studio.settled(60)
    changing.seconds_until(eye, welcome)
