"""A studio's bundle: pure, complete, hardened, and honest about what restarts when."""

import json
import re
import time
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.bundle import Bundle
from studio.model import Studio, load_studio
from studio.render import render
from studio.render.checks import problems

FOLDERS = {"quadlets", "hivemq", "vector", "victoriametrics", "vmalert", "alertmanager", "monit", "promtail", "alloy"}
FOLDERS |= {"loki", "grafana", "hub", "images"}
OF_THE_HUB = {"/var/lib/sensor-pipeline/state/hub/accounts", "/opt/projectplant/data/provisioning"}


def changed(studio: Studio, **update: Any) -> Studio:
    """The same studio with other values, validated as an inventory is."""
    return Studio.model_validate({**studio.model_dump(), **update})


@pytest.fixture(scope="module")
def lab() -> Studio:
    return load_studio("lab")


@pytest.fixture(scope="module")
def bundle(lab: Studio) -> Bundle:
    return render(lab)


def text(bundle: Bundle, path: str) -> str:
    return bundle.files[path].content.decode()


def quadlets(bundle: Bundle) -> dict[str, str]:
    return {p: text(bundle, p) for p in bundle.files if p.endswith(".container")}


def lines(unit: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]


def hashes(bundle: Bundle) -> dict[str, str]:
    return {c["name"]: c["hash"] for c in bundle.manifest["components"]}


def restarted(before: Studio, after: Studio) -> set[str]:
    old, new = hashes(render(before)), hashes(render(after))
    return {name for name in old.keys() & new.keys() if old[name] != new[name]}


def test_the_layout_is_fixed(bundle: Bundle) -> None:
    assert {p.split("/")[0] for p in bundle.files} >= FOLDERS
    assert "mosquitto" not in {p.split("/")[0] for p in bundle.files}


def test_two_renders_are_the_same_bytes(lab: Studio) -> None:
    first, second = render(lab), render(lab)
    assert dict(first.files) == dict(second.files)
    assert first.tar_gz() == second.tar_gz()


def test_rendering_asks_neither_clock_nor_environment(lab: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    before = render(lab).generation
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.chdir("/")
    assert render(lab).generation == before


def test_nothing_can_be_said_against_it(bundle: Bundle) -> None:
    assert problems(bundle) == []


def test_a_wrong_hivemq_configuration_is_seen(bundle: Bundle) -> None:
    spoilt = bundle.files["hivemq/config.xml"].content.replace(b"127.0.0.1", b"0.0.0.0", 1)
    files = {**bundle.files, "hivemq/config.xml": type(bundle.files["hivemq/config.xml"])(spoilt)}
    found = problems(Bundle(files))
    assert len(found) == 1
    assert "bind-address" in found[0]


@pytest.mark.parametrize("key", ["NoNewPrivileges=true", "DropCapability=all", "Network=host", "Pull=never"])
def test_every_container_is_locked_down(bundle: Bundle, key: str) -> None:
    assert len(quadlets(bundle)) == 6
    for path, unit in quadlets(bundle).items():
        assert key in unit.splitlines(), path


def test_only_hivemq_may_write_to_its_root(bundle: Bundle) -> None:
    writable = {p for p, unit in quadlets(bundle).items() if "ReadOnly=true" not in unit}
    assert writable == {"quadlets/hivemq.container"}


def test_no_container_gets_a_capability_back(bundle: Bundle) -> None:
    assert not any("AddCapability" in unit or "Privileged" in unit for unit in quadlets(bundle).values())


def test_every_container_is_checked_from_its_first_second_on(bundle: Bundle) -> None:
    for unit in quadlets(bundle).values():
        assert lines(unit, "HealthCmd") == lines(unit, "HealthStartupCmd") != []
        assert lines(unit, "HealthStartupInterval") == ["1s"]
        assert lines(unit, "Notify") == ["healthy"]
        assert lines(unit, "HealthOnFailure") == ["kill"]
        assert lines(unit, "Restart") == ["always"]


def test_units_want_each_other_and_never_require(bundle: Bundle) -> None:
    for unit in quadlets(bundle).values():
        assert not re.search(r"^(Requires|BindsTo|PartOf|Requisite)=", unit, re.MULTILINE)
    assert lines(quadlets(bundle)["quadlets/vector.container"], "Wants") == ["hivemq.service victoriametrics.service"]


def test_configuration_is_mounted_read_only_through_current(bundle: Bundle) -> None:
    for path, unit in quadlets(bundle).items():
        name = Path(path).stem
        assert lines(unit, "Volume")[0].startswith(f"/var/lib/sensor-pipeline/current/{name}:")
        writable = {v.partition(":")[0] for v in lines(unit, "Volume") if v.startswith("/") and not v.endswith(":ro")}
        assert writable == (OF_THE_HUB if name == "hub" else set())


def test_only_tls_listeners_are_open_and_only_with_a_network(lab: Studio, bundle: Bundle) -> None:
    def open_ones(of: Bundle) -> list[tuple[str, int]]:
        every = [listener for c in of.manifest["components"] for listener in c["listens"]]
        return [(x["address"], x["port"]) for x in every if x["address"] != "127.0.0.1"]

    assert open_ones(bundle) == [("0.0.0.0", 8883), ("0.0.0.0", 8443), ("0.0.0.0", 8884)]
    assert open_ones(render(changed(lab, hub={}))) == [("0.0.0.0", 8883)]
    closed = render(changed(lab, network=None, hub={}))
    assert open_ones(closed) == []
    assert b"tls-tcp-listener" not in closed.files["hivemq/config.xml"].content
    assert closed.manifest["tls"] is None
    shown = {p: a for p, a in closed.files.items() if not p.startswith(("bin/", "images/"))}
    assert not any("0.0.0.0" in a.content.decode(errors="replace") for a in shown.values())


@pytest.mark.parametrize(
    ("network", "rule"), [("10.77.0.0/24", "ip saddr 10.77.0.0/24"), ("fd00::/8", "ip6 saddr fd00::/8")]
)
def test_the_firewall_lets_the_network_in_and_nobody_else(lab: Studio, network: str, rule: str) -> None:
    rules = text(render(changed(lab, network=network, broker="mosquitto")), "nftables/sensor-pipeline.nft")
    accept, drop = re.findall(r"tcp dport \{ 8443, 8883, 8884 \} (.*)", rules)
    assert accept == f"{rule} accept"
    assert drop == "counter drop"


def test_hivemq_refuses_everybody_whom_it_does_not_know(bundle: Bundle) -> None:
    unit = quadlets(bundle)["quadlets/hivemq.container"]
    assert "Environment=HIVEMQ_ALLOW_ALL_CLIENTS=false" in unit.splitlines()
    assert any(v.endswith(":/opt/hivemq/extensions:ro") for v in lines(unit, "Volume"))


def test_the_brokers_queue_outlives_a_quarter_of_an_hour_and_packets_fit_vector(bundle: Bundle) -> None:
    config = ET.fromstring(bundle.files["hivemq/config.xml"].content)  # noqa: S314 - rendered here
    vector = yaml.safe_load(text(bundle, "vector/vector.yaml"))
    assert int(config.findtext("mqtt/queued-messages/max-queue-size") or 0) >= 100 * 15 * 60
    largest = int(config.findtext("mqtt/packets/max-packet-size") or 0)
    assert 0 < largest < vector["sources"]["broker"]["max_packet_size"]
    assert config.findtext("persistence/mode") == "file"


def test_every_device_may_write_to_its_own_topics_alone(bundle: Bundle) -> None:
    roles = {r["id"]: r["permissions"] for r in json.loads(text(bundle, "hivemq/file-rbac/roles.json"))["roles"]}
    assert {u["role"] for u in bundle.manifest["broker_users"]} == set(roles)
    assert roles["device-main"] == [
        {"topic": "furnace/main/telemetry", "activity": "PUBLISH"},
        {"topic": "furnace/main/flame", "activity": "PUBLISH"},
        {"topic": "furnace/main/state", "activity": "PUBLISH"},
        {"topic": "furnace/main/run/+/chunk", "activity": "PUBLISH"},
        {"topic": "furnace/main/run/+/result", "activity": "PUBLISH"},
        {"topic": "furnace/main/cmd/#", "activity": "SUBSCRIBE"},
    ]
    for role, permissions in roles.items():
        if role.startswith("device-"):
            assert all(role.removeprefix("device-") in p["topic"].split("/") for p in permissions)
            assert not any("+" in p["topic"].split("/")[:2] for p in permissions)


def test_vector_may_read_every_topic_it_subscribes_to(bundle: Bundle) -> None:
    roles = {r["id"]: r["permissions"] for r in json.loads(text(bundle, "hivemq/file-rbac/roles.json"))["roles"]}
    subscribed = yaml.safe_load(text(bundle, "vector/vector.yaml"))["sources"]["broker"]["topic"]
    assert {p["topic"] for p in roles["vector"] if p["activity"] == "SUBSCRIBE"} == set(subscribed)


def test_secrets_are_named_and_each_has_an_origin(bundle: Bundle) -> None:
    origins = {s["name"]: s["origin"] for s in bundle.manifest["secrets"]}
    used = {n for c in bundle.manifest["components"] for n in (*c["secrets"], *c["secret_variables"])}
    assert used <= set(origins)
    assert {n for n, o in origins.items() if o == "user"} == {"irm-shop-url", "irm-system-url", "irm-heartbeat-url"}
    assert {n for n, o in origins.items() if o == "tls"} == {"tls-keystore", "tls-cert", "tls-key"}


def test_a_units_secrets_are_those_of_the_manifest(bundle: Bundle) -> None:
    for component in bundle.manifest["components"]:
        if component["kind"] == "quadlet":
            unit = quadlets(bundle)[f"quadlets/{component['name']}.container"]
            named = [s.split(",")[0].removeprefix("sensor-pipeline-") for s in lines(unit, "Secret")]
            assert named == [*component["secrets"], *component["secret_variables"]]


def test_a_units_label_is_its_hash_in_the_manifest(bundle: Bundle) -> None:
    for name, digest in hashes(bundle).items():
        if f"quadlets/{name}.container" in bundle.files:
            assert f"Label=sensor-pipeline.hash={digest}" in text(bundle, f"quadlets/{name}.container").splitlines()


def test_every_file_belongs_to_somebody(bundle: Bundle) -> None:
    owned = {f for c in bundle.manifest["components"] for f in c["files"]}
    shown_only = {
        p for p in bundle.files if p.split("/")[0] in {"bin", "promtail", "loki", "grafana", "nftables", "alloy"}
    }
    assert set(bundle.files) - owned - shown_only == {"hivemq/file-rbac/roles.json", "vector/tests.yaml"}


def furnace(studio: Studio, index: int, **update: Any) -> list[dict[str, Any]]:
    furnaces = [f.model_dump() for f in studio.furnaces]
    furnaces[index] |= update
    return furnaces


def changes(lab: Studio) -> Iterator[tuple[str, dict[str, Any], set[str]]]:
    yield "a limit", {"furnaces": furnace(lab, 0, high=1190)}, {"vmalert", "hub"}
    yield "how long silence may last", {"furnaces": furnace(lab, 0, no_data_minutes=3)}, {"vmalert", "hub"}
    yield "a flame's limit", {"furnaces": furnace(lab, 0, flame_voltage={"low": 1.5, "high": 9})}, {"vmalert"}
    yield "a label", {"furnaces": furnace(lab, 0, label="Big one")}, {"vector", "vmalert", "hub"}
    yield "switched off", {"furnaces": furnace(lab, 1, off=True)}, {"vmalert", "monit", "hub"}
    yield "retention", {"retention": "10y"}, {"victoriametrics"}
    yield "a receiver less", {"alerts": {**lab.alerts.model_dump(), "shop": None}}, {"alertmanager"}
    yield "a picture", {"images": {**lab.images.model_dump(), "vector": "localhost/x:1"}}, {"vector"}
    yield "the title", {"title": "Another"}, {"vmalert", "hub"}
    yield "the hub's base", {"images": {**lab.images.model_dump(), "python": "localhost/x:1"}}, {"hub"}
    yield "no TLS for the hub", {"hub": {}}, {"hub"}
    yield "M/Monit", {"mmonit": {"address": "mmonit.local"}}, {"monit"}
    yield "network", {"network": "10.0.0.0/8"}, set()


def test_a_change_restarts_exactly_what_it_concerns(lab: Studio) -> None:
    for what, update, expected in changes(lab):
        assert restarted(lab, changed(lab, **update)) == expected, what


def test_nothing_restarts_for_hostctl_the_vector_tests_or_the_roles(bundle: Bundle) -> None:
    inputs = {f for c in bundle.manifest["components"] for f in c["files"]}
    assert inputs.isdisjoint({"bin/hostctl", "bin/hostctl.pyz", "vector/tests.yaml", "hivemq/file-rbac/roles.json"})


def test_mosquitto_takes_hivemqs_place(lab: Studio) -> None:
    other = render(changed(lab, broker="mosquitto"))
    folders = {p.split("/")[0] for p in other.files}
    assert "mosquitto" in folders
    assert "hivemq" not in folders
    assert other.manifest["extension"] is None
    config = text(other, "mosquitto/mosquitto.conf").splitlines()
    assert "allow_anonymous false" in config
    assert "listener 1883 127.0.0.1" in config
    acl = text(other, "mosquitto/acl")
    assert "user device-main\ntopic write furnace/main/telemetry\n" in acl
    assert {s["name"] for s in other.manifest["secrets"] if s["origin"] == "tls"} == {"tls-cert", "tls-key"}
    assert lines(quadlets(other)["quadlets/vector.container"], "After") == ["mosquitto.service victoriametrics.service"]


def test_a_studio_without_receivers_bothers_nobody(lab: Studio) -> None:
    quiet = render(changed(lab, alerts={}))
    config = yaml.safe_load(text(quiet, "alertmanager/alertmanager.yml"))
    assert [r["name"] for r in config["receivers"]] == ["nobody"]
    assert {route["receiver"] for route in config["route"]["routes"]} == {"nobody"}
    assert not any(s["origin"] == "user" for s in quiet.manifest["secrets"])


def test_alloy_runs_where_there_is_something_to_ship(lab: Studio) -> None:
    def names(studio: Studio) -> set[str]:
        return {c["name"] for c in render(studio).manifest["components"]} & {"alloy", "node_exporter"}

    cloud = {"metrics_url": "https://prometheus.example.net/api/prom/push", "user": "1"}
    assert names(lab) == {"node_exporter"}
    assert names(changed(lab, grafana_cloud=cloud)) == {"node_exporter", "alloy"}
    assert names(changed(lab, device_metrics="alloy")) == {"alloy"}


def test_tokens_reach_alloy_as_credentials_and_stand_in_no_file(lab: Studio) -> None:
    cloud = {"metrics_url": "https://prometheus.example.net/api/prom/push", "user": "1"}
    bundle = render(changed(lab, grafana_cloud=cloud))
    unit = text(bundle, "systemd/alloy.service.d/sensor-pipeline.conf")
    assert lines(unit, "LoadCredential") == ["grafana-cloud-token:/var/lib/sensor-pipeline/secrets/grafana-cloud-token"]
    assert '"/run/credentials/alloy.service/grafana-cloud-token"' in text(bundle, "alloy/config.alloy")


def test_monitrc_is_for_root_alone_and_opens_no_port(bundle: Bundle) -> None:
    assert bundle.files["monit/monitrc"].mode == 0o600
    monitrc = text(bundle, "monit/monitrc")
    assert re.findall(r"set httpd .*", monitrc) == ["set httpd unixsocket /run/monit.sock permission 0600"]


def test_monit_is_slower_than_a_start_and_than_podmans_own_limit(bundle: Bundle, lab: Studio) -> None:
    for every, cycles in re.findall(
        r"every (\d+) cycles\n  if status != 0 for (\d+) cycles then exec", text(bundle, "monit/monitrc")
    ):
        assert int(every) * int(cycles) * 10 > lab.start_timeout_seconds + 30
    for cycles in re.findall(r"with timeout 5 seconds for (\d+) cycles then exec", text(bundle, "monit/monitrc")):
        assert int(cycles) * 10 > lab.start_timeout_seconds + 30


def test_monit_watches_every_service_and_every_furnace_that_is_on(lab: Studio) -> None:
    monitrc = text(render(changed(lab, furnaces=furnace(lab, 1, off=True))), "monit/monitrc")
    programs = re.findall(r"^check program (\S+) ", monitrc, re.MULTILINE)
    assert set(programs) == {
        "victoriametrics", "hivemq", "vector", "alertmanager", "vmalert", "node_exporter", "mqtt-canary",
        "hub", "hub-accounts", "root-filesystem-writable",
        "furnace-main",
    }  # fmt: skip


def test_every_part_is_scraped(bundle: Bundle) -> None:
    config = yaml.safe_load(text(bundle, "victoriametrics/scrape.yml"))
    jobs = {j["job_name"]: j["static_configs"][0]["targets"] for j in config["scrape_configs"]}
    assert list(jobs) == bundle.manifest["scrape_jobs"]
    assert jobs["vector"] == ["127.0.0.1:9598"]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", t) for targets in jobs.values() for t in targets)


def test_a_stand_in_says_so(bundle: Bundle) -> None:
    assert {c["name"] for c in bundle.manifest["components"] if c["stand_in"]} == {"vector"}


def test_hostctl_runs_from_its_archive_and_has_no_times(bundle: Bundle) -> None:
    with zipfile.ZipFile(BytesIO(bundle.files["bin/hostctl.pyz"].content)) as archive:
        infos = archive.infolist()
    assert {i.date_time for i in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {"__main__.py", "hostctl/__init__.py", "hostctl/cli.py"} <= {i.filename for i in infos}
    assert bundle.files["bin/hostctl"].mode == 0o755
