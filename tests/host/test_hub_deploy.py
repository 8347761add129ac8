"""The hub in a deployed studio: it is kept right, its scraper has no more rights than it needs."""

import json
import re
import textwrap
import threading
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import requests
from deploy_support import restarted
from hub_host import HubHost, Provisioned, refused, welcome
from paho.mqtt.enums import CallbackAPIVersion
from verify_support import verify

from lab.run import wait_for

pytestmark = pytest.mark.lab
EVENTS = "/opt/projectplant/data/provisioning/events.jsonl"
KNOWN_LATER = {"monit finds nothing wrong", "furnace sends"}
"""What depends on time and on data, which no test here is about."""


def test_the_host_is_verified_with_its_hub(hub: HubHost) -> None:
    told = verify(hub.studio)
    assert {key for key in told.failed if key[0] not in KNOWN_LATER} == set()
    assert ("hub tells nothing without a login", "hub") in told.keys("ok")
    assert ("hub lets the scraper read metrics alone", "hub") in told.keys("ok")
    assert ("no secret is to be seen in", "generations") in told.keys("ok")
    assert ("listens as declared", "hub") in told.keys("ok")


def test_killed_it_comes_back_with_all_that_it_knew(hub: HubHost) -> None:
    hub.provision("remembered", hub.key())
    before = hub.studio.pids()
    hub.studio.host.exec(f"kill -9 {before['hub']}")
    wait_for("another hub runs", lambda: hub.studio.pids()["hub"] not in (0, before["hub"]), 60)
    hub.studio.settled(60)
    assert restarted(before, hub.studio.pids()) == {"hub"}
    assert "remembered" in {d["device_id"] for d in hub.must("GET", "/admin/devices")}


def test_a_backup_is_restored_as_the_documentation_says(hub: HubHost) -> None:
    told = Path("docs/hub.md").read_text().partition("**Restore**")[2]
    block = textwrap.dedent(re.findall(r"```bash\n(.*?)```", told, re.S)[0])
    backing_up, restoring = block.split("\n\n")
    functions = f'set -eu\ncd /tmp\nsudo() {{ "$@"; }}\n{backing_up.splitlines()[0]}\n'

    def devices() -> set[str]:
        return {device["device_id"] for device in hub.must("GET", "/admin/devices")}

    kept = hub.provision("in-the-backup", hub.key())
    hub.studio.host.exec(functions + backing_up)
    assert hub.studio.host.exec("head -c 15 /tmp/before.db").stdout == "SQLite format 3"
    lost = hub.provision("made-later", hub.key())
    in_use = [line for line in restoring.splitlines() if not line.startswith("sudo systemctl")]
    running = hub.studio.host.exec(functions + "\n".join(in_use), check=False)
    assert running.returncode != 0
    assert "is in use: stop the hub first" in running.stdout + running.stderr
    assert devices() >= {kept.device, lost.device}
    into_the_volume = re.findall(r"`(as_studio podman run --rm -i .*?)`", told)[0]
    image = next(line for line in restoring.splitlines() if line.startswith("image="))
    moved = into_the_volume.replace("/data/before.db", "/data/moved.db")
    hub.studio.host.exec(f"{functions}{image}\n{moved}")
    hub.studio.host.exec(functions + restoring.replace("/data/before.db", "/data/moved.db"))
    hub.studio.settled(60)
    assert kept.device in devices()
    assert lost.device not in devices()
    hub.seconds_until(kept, welcome)
    hub.seconds_until(lost, refused)


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


def test_a_full_event_file_is_rotated_and_its_successor_may_be_read(hub: HubHost) -> None:
    studio = hub.studio
    password = studio.hostctl("secrets", "show", "device-fern").stdout.strip()
    studio.host.exec(f"touch {EVENTS}; chown --reference=$(dirname {EVENTS}) {EVENTS}; truncate -s 10485760 {EVENTS}")
    session = hub.session(Provisioned("fern", "device-fern", password))
    assert session.publish("plant/fern/state", '{"moisture": 41}') == "Success"
    session.close()
    read = f"runuser -u nobody -g adm -- tail -n 1 {EVENTS}"
    wait_for("the successor has it", lambda: '"state_message"' in studio.host.exec(read, check=False).stdout)
    sizes = studio.host.exec(f"stat -c %s {EVENTS}.1 {EVENTS}").stdout.split()
    assert int(sizes[0]) == 10485760
    assert int(sizes[1]) < 1000
    studio.host.exec(f"rm {EVENTS}.1")


def test_the_scraper_reads_metrics_alone_and_a_new_token_restarts_its_users(hub: HubHost) -> None:
    studio = hub.studio

    def token() -> str:
        return studio.hostctl("secrets", "show", "hub-metrics-token").stdout.strip()

    def status(path: str, word: str) -> int:
        return requests.get(hub.url + path, headers={"Authorization": f"Bearer {word}"}, timeout=30).status_code

    old = token()
    assert [status(path, old) for path in ("/metrics", "/admin/devices", "/live/view")] == [200, 401, 401]
    before = studio.pids()
    held = studio.host.exec(f"ls /proc/{before['victoriametrics']}/root/run/secrets").stdout.split()
    assert held == ["hub-metrics-token"], "the admin token is none of the scraper's business"
    studio.hostctl("secrets", "rotate", "hub-metrics-token")
    studio.settled(60)
    assert restarted(before, studio.pids()) == {"hub", "victoriametrics"}
    assert (status("/metrics", old), status("/metrics", token())) == (401, 200)
    scraped = "http://127.0.0.1:8428/api/v1/targets?state=active"

    def up() -> bool:
        targets = json.loads(studio.host.exec(["curl", "-fsS", scraped]).stdout)["data"]["activeTargets"]
        return {t["labels"]["job"]: t["health"] for t in targets}["hub"] == "up"

    wait_for("it is scraped with the new one", up)


def test_a_studio_from_before_the_scrapers_token_is_given_one(hub: HubHost) -> None:
    podman = "cd / && runuser -u studio -- env XDG_RUNTIME_DIR=/run/user/$(id -u studio) podman"
    hub.studio.host.exec(f"{podman} secret rm sensor-pipeline-hub-metrics-token")
    assert "Make the secrets" in hub.studio.must_deploy().changed
    hub.studio.settled(60)
    told = verify(hub.studio)
    assert {key for key in told.failed if key[0] not in KNOWN_LATER} == set()
    assert hub.studio.must_deploy().changed == []
