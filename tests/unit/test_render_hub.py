"""The hub in a generation: its image by content, its settings from the inventory, no right it does not need."""

import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub.live.config import PageConfig
from studio.bundle import Bundle
from studio.model import InventoryError, Studio, load_studio
from studio.paths import HUB, ROOT
from studio.render import hub_image, render
from studio.render.accounts import accounts


@pytest.fixture(scope="module")
def lab() -> Studio:
    return load_studio("lab")


def changed(studio: Studio, **update: Any) -> Studio:
    return Studio.model_validate({**studio.model_dump(), **update})


def hub_of(bundle: Bundle) -> dict[str, Any]:
    (found,) = [c for c in bundle.manifest["components"] if c["name"] == "hub"]
    return dict(found)


def unit(bundle: Bundle) -> list[str]:
    return bundle.files["quadlets/hub.container"].content.decode().splitlines()


def test_the_images_context_is_the_program_its_lock_and_nothing_else() -> None:
    with tarfile.open(fileobj=io.BytesIO(hub_image.context().content)) as tar:
        names = tar.getnames()
    assert {"Containerfile", "requirements.lock", "hub/cli.py", "hub/page/page.html"} <= set(names)
    assert any(name.startswith("hub/migrations/versions/") for name in names)
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".env", ".db"))]
    assert names == [*names[:2], *sorted(names[2:])]


def test_the_image_is_named_by_its_content_and_its_base() -> None:
    assert hub_image.reference("localhost/a:1") == hub_image.reference("localhost/a:1")
    assert hub_image.reference("localhost/a:1") != hub_image.reference("localhost/a:2")


def test_a_changed_file_of_the_hub_is_another_image(lab: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hub_of(render(lab))
    content = hub_image.context()
    monkeypatch.setattr(hub_image, "context", lambda: type(content)(content.content + b"x"))
    after = hub_of(render(lab))
    assert before["image"] != after["image"]
    assert before["hash"] != after["hash"]


def test_a_studio_without_hub_has_no_trace_of_it(lab: Studio) -> None:
    bundle = render(changed(lab, hub={"enabled": False}))
    assert "hub" not in {c["name"] for c in bundle.manifest["components"]}
    assert not [path for path in bundle.files if path.startswith(("hub/", "images/", "quadlets/hub"))]
    assert "hub" not in {a.name for a in accounts(changed(lab, hub={"enabled": False}))}
    assert not {"hub-admin-token", "hub-metrics-token", "broker-hub"} & {s["name"] for s in bundle.manifest["secrets"]}
    assert "hub" not in bundle.files["monit/monitrc"].content.decode()
    assert "hub" not in bundle.manifest["scrape_jobs"]


def test_without_tls_nothing_of_it_is_on_the_network(lab: Studio) -> None:
    bundle = render(changed(lab, hub={}))
    assert hub_of(bundle)["listens"] == [{"address": "127.0.0.1", "port": 8080, "purpose": "http"}]
    assert not [line for line in unit(bundle) if "HUB_TLS" in line or "HUB_PROVISION_" in line]
    assert b"{" not in bundle.files["nftables/sensor-pipeline.nft"].content.split(b"dport", 1)[1].split(b"\n")[0]


def test_with_tls_provisioning_may_be_left_out(lab: Studio) -> None:
    bundle = render(changed(lab, hub={"tls": True, "provisioning": False}))
    assert [x["port"] for x in hub_of(bundle)["listens"]] == [8080, 8443]


def test_secrets_reach_it_as_files_alone(lab: Studio) -> None:
    chosen = {"database_url_secret": "hub-database", "fcm_secret": "firebase"}
    bundle = render(changed(lab, hub=chosen))
    lines = unit(bundle)
    assert "Environment=HUB_DATABASE_URL_FILE=/run/secrets/hub-database" in lines
    assert "Environment=HUB_FCM_CREDENTIALS_FILE=/run/secrets/firebase" in lines
    assert not [line for line in lines if line.startswith("Environment=HUB_DATABASE_URL=")]
    assert not [line for line in lines if line.startswith("Secret=") and "type=env" in line]
    origins = {s["name"]: s["origin"] for s in bundle.manifest["secrets"]}
    assert origins["hub-database"] == origins["firebase"] == "user"
    assert origins["hub-admin-token"] == origins["hub-metrics-token"] == "generated"


def test_its_metrics_are_scraped_with_a_token_that_reads_metrics_alone_and_is_rendered_nowhere(lab: Studio) -> None:
    bundle = render(lab)
    config = yaml.safe_load(bundle.files["victoriametrics/scrape.yml"].content)
    (job,) = [j for j in config["scrape_configs"] if j["job_name"] == "hub"]
    assert job["authorization"] == {"credentials_file": "/run/secrets/hub-metrics-token"}
    assert "Environment=HUB_METRICS_TOKEN_FILE=/run/secrets/hub-metrics-token" in unit(bundle)
    consumers = {s["name"]: s["consumers"] for s in bundle.manifest["secrets"]}
    assert sorted(consumers["hub-metrics-token"]) == ["hub", "victoriametrics"]
    assert consumers["hub-admin-token"] == ["hub"], "the scraper is no admin"
    assert not [j["job_name"] for j in config["scrape_configs"] if j["job_name"] != "hub" and "authorization" in j]


def test_its_page_has_the_limits_in_celsius(lab: Studio) -> None:
    page = json.loads(render(lab).files["hub/page.json"].content)
    assert page["studio"] == "lab"
    assert {f["id"]: (f["low"], f["high"]) for f in page["furnaces"]} == {
        "main": (1050.0, 1180.0), "glory-hole": (1037.778, 1232.222),
    }  # fmt: skip


def test_its_page_knows_from_when_on_a_device_is_silent(lab: Studio) -> None:
    page = json.loads(render(lab).files["hub/page.json"].content)
    devices = (*lab.cameras, *lab.plants)
    assert page["silent_after"] == {device.id: device.no_data_minutes * 60 for device in devices}
    assert page["silent_after"]["fern"] == 3600
    assert PageConfig.model_validate(page).silent_after["fern"] == 3600


def test_its_page_calls_a_furnace_silent_when_the_alert_does(lab: Studio) -> None:
    main, hole = lab.furnaces
    changed = {"furnaces": [{**main.model_dump(), "no_data_minutes": 7}, {**hole.model_dump(), "off": True}]}
    page = json.loads(render(Studio.model_validate({**lab.model_dump(), **changed})).files["hub/page.json"].content)
    known = {f.id: (f.silent_after, f.off) for f in PageConfig.model_validate(page).furnaces}
    assert known == {"main": (420, False), "glory-hole": (120, True)}


@pytest.mark.parametrize(
    ("text", "field", "what"),
    [
        ("hub: {tls: true}", "hub.tls", "HTTPS is for the studio's network: give `network`"),
        ("logs: {provisioning_events: /srv/events.jsonl}", "provisioning_events", "give it a folder of its own"),
        ("hub: {tsl: true}", "tsl", "did you mean 'tls'"),
        ("ports: {hub: 8428}", "ports", "8428"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, text: str, field: str, what: str) -> None:
    (tmp_path / "x.yaml").write_text(f"name: x\nfurnaces: [{{id: main, low: 1, high: 2}}]\n{text}\n")
    with pytest.raises(InventoryError) as told:
        load_studio(tmp_path / "x.yaml")
    assert field in str(told.value)
    assert what in str(told.value)


def entries(lock: str) -> dict[str, str]:
    """The pins of a lock file with their conditions and hashes, by package."""
    found = [entry.strip() for entry in re.split(r"(?<!\\)\n", lock) if entry.strip()]
    return {re.split(r"[=\[ ;]", entry, maxsplit=1)[0]: entry for entry in found}


def test_the_images_packages_are_pinned_as_the_repositorys_are() -> None:
    whole, own = (entries((ROOT / name).read_text()) for name in ("requirements.lock", "hub/requirements.lock"))
    assert {name: whole.get(name) for name in own} == own, "run: make lock"
    wanted = {
        line.partition(";")[0].partition("[")[0].strip() for line in (HUB / "requirements.in").read_text().splitlines()
    }
    assert {name for name in wanted if name and not name.startswith("#")} <= set(own)
