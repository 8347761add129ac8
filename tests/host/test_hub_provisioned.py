"""Devices that the hub of a deployed studio provisions get to its broker at once, and no further than they may."""

import json

import pytest
import requests
from hub_host import HubHost, Provisioned, refused, welcome

from lab.run import wait_for

pytestmark = pytest.mark.lab
SPOOL = "/var/lib/sensor-pipeline/state/hub/accounts"


def test_a_provisioned_device_is_let_in_at_once_to_its_own_topics_alone(hub: HubHost) -> None:
    key = hub.key()
    hub.provision("warm-up", key)
    _, eye, _ = hub.let_in(key, "eye-0", "eye-1", "eye-2")
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
    hub.shut_out(go)
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


def test_with_mosquitto_it_is_the_same_and_a_revoked_devices_session_ends(changing: HubHost) -> None:
    studio = changing.studio
    eye = changing.provision("moved", changing.key())
    studio.edit("inventories/lab.yaml", "network: 10.77", "broker: mosquitto\nnetwork: 10.77")
    studio.must_deploy()
    studio.settled(60)
    assert welcome(changing.login(eye)), "an account from before"
    several = changing.let_in(changing.key(), "new-0", "new-1", "new-2")
    session = changing.session(several[0])
    assert session.publish("camera/new-0/telemetry", "{}") in ("Success", "No matching subscribers")
    assert session.publish("camera/moved/telemetry", "{}") == "Not authorized"
    changing.shut_out(several)
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
