"""The stand-in of IRM's webhooks writes down what IRM would take, and refuses what it would not."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from lab.run import wait_for

RECORDER = Path(__file__).parents[2] / "lab/standins/irm_recorder.py"
ALERT = {"version": "4", "status": "firing", "alerts": [{"labels": {"alertname": "FurnaceCold"}}]}
SHOP = "/oncall/integrations/v1/alertmanager/shop/"

pytestmark = pytest.mark.services


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    argv = [sys.executable, str(RECORDER), "--port", "0", "--records", str(tmp_path / "records.jsonl")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield "http://" + process.stdout.readline().split()[-1]
        process.terminate()


def records(url: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in requests.get(f"{url}/lab/records", timeout=5).text.splitlines()]


def test_alerts_and_heartbeats_are_told_apart(url: str) -> None:
    before = time.time()
    assert requests.post(url + SHOP, json=ALERT, timeout=5).status_code == 200
    assert requests.post(url + SHOP + "heartbeat/", json=ALERT, timeout=5).status_code == 200
    alert, heartbeat = records(url)
    assert (alert["kind"], alert["token"], alert["body"]) == ("alert", "shop", ALERT)
    assert (heartbeat["kind"], heartbeat["token"]) == ("heartbeat", "shop")
    assert before <= float(str(alert["received"])) <= time.time()


@pytest.mark.parametrize("path", ["/", SHOP.rstrip("/"), "/oncall/integrations/v1/alertmanager/", SHOP + "x/"])
def test_another_path_is_not_there(url: str, path: str) -> None:
    assert requests.post(url + path, json=ALERT, timeout=5).status_code == 404
    assert records(url) == []


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "{}", json.dumps({**ALERT, "alerts": []}), json.dumps({**ALERT, "status": "odd"})]
)
def test_what_is_no_webhook_of_alertmanager_is_refused(url: str, body: str) -> None:
    assert requests.post(url + SHOP, data=body, timeout=5).status_code == 400
    assert records(url) == []


def test_it_fails_for_as_long_as_it_is_told(url: str) -> None:
    assert requests.post(f"{url}/lab/fail?seconds=5&status=500", timeout=5).status_code == 200
    assert requests.post(url + SHOP, json=ALERT, timeout=5).status_code == 500
    assert records(url) == []
    wait_for("it takes alerts again", lambda: requests.post(url + SHOP, json=ALERT, timeout=5).status_code == 200, 30)
    assert len(records(url)) == 1
