"""studio replay and studio dashboards backfill on a deployed studio: the past is judged, the present is not touched."""

import json
import time
from typing import Any

import pytest
import requests
from deploy_support import StudioHost
from verify_support import command

from lab import studio_host

pytestmark = pytest.mark.lab
HOUR = 3600
LABELS = {"__name__": "furnace_furnace_temp", "studio": "lab", "furnace": "main", "db": "sensors"}


@pytest.fixture(scope="module")
def began(studio: StudioHost) -> float:
    """A cold quarter of an hour of the main furnace, two hours ago; the epoch second at which it began."""
    begin = int(time.time()) - 2 * HOUR
    seconds = list(range(-1800, 1800, 5))
    values = [1000.0 if 0 <= at < 900 else 1120.0 for at in seconds]
    line = json.dumps({"metric": LABELS, "values": values, "timestamps": [(begin + at) * 1000 for at in seconds]})
    url = f"http://127.0.0.1:{studio.host.port(8428)}"
    requests.post(f"{url}/api/v1/import", data=line, timeout=30).raise_for_status()
    requests.get(f"{url}/internal/force_flush", timeout=30).raise_for_status()
    return begin


def around(began: float, *seconds: int) -> list[str]:
    """From when to when, for a command line; in seconds from where it began to be cold."""
    first, last = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began + at)) for at in seconds)
    return ["--from", first, "--to", last]


def cold(studio: StudioHost, began: float) -> list[dict[str, Any]]:
    """What a replay of the two hours around it says of the furnace's temperature."""
    done = command(studio, "replay", "lab", *around(began, -1500, 1700), "--json")
    assert done.returncode == 0, done.stderr
    return [episode for episode in json.loads(done.stdout) if episode["alert"] == "FurnaceTempLow"]


def test_it_tells_what_would_have_fired_and_when(studio: StudioHost, began: float) -> None:
    (episode,) = cold(studio, began)
    assert episode["labels"]["furnace"] == "main"
    assert 120 <= episode["begin"] - began <= 330
    assert 900 <= episode["end"] - began <= 1200


def test_weeks_of_a_young_studio_begin_with_what_is_stored(studio: StudioHost, began: float) -> None:
    done = command(studio, "replay", "lab", "--from", "30d", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "FurnaceTempLow" in {episode["alert"] for episode in found}
    assert min(episode["begin"] for episode in found) > began - 1800
    *progress, told = done.stderr.splitlines()
    assert [line.split()[0] for line in progress] == [f"{n}/30" for n in range(1, 31)]
    assert told.startswith("lab: nothing is stored before ")


def test_nobody_is_alerted_and_nothing_is_left(studio: StudioHost, began: float) -> None:
    assert cold(studio, began)
    told = [a["labels"]["alertname"] for r in studio_host.records(studio.host) for a in r["body"]["alerts"]]
    assert "FurnaceTempLow" not in told
    active = requests.get(f"http://127.0.0.1:{studio.host.port(9093)}/api/v2/alerts", timeout=10).json()
    assert "FurnaceTempLow" not in {alert["labels"]["alertname"] for alert in active}
    url = f"http://127.0.0.1:{studio.host.port(8428)}/api/v1/export"
    assert requests.get(url, params={"match[]": 'ALERTS{alertname="FurnaceTempLow"}'}, timeout=10).text == ""
    user = "runuser -u studio -- env XDG_RUNTIME_DIR=/run/user/$(id -u studio)"
    names = studio.host.exec(f"cd / && {user} podman ps --all --format '{{{{.Names}}}}'").stdout.split()
    assert names
    assert not [name for name in names if name.startswith("replay-")]
    assert studio.host.exec("ls /tmp").stdout.find("studio-replay-") == -1


def test_a_back_fill_records_the_past_once_and_what_vmalert_records_stays(studio: StudioHost, began: float) -> None:
    url = f"http://127.0.0.1:{studio.host.port(8428)}/api/v1/export"

    def stored() -> dict[int, float]:
        requests.get(f"http://127.0.0.1:{studio.host.port(8428)}/internal/force_flush", timeout=10).raise_for_status()
        # A selector that was not asked before: VictoriaMetrics remembers for some seconds what one has found.
        name = "furnace_label:furnace_furnace_temp:avg"
        wanted = {"match[]": f'{{__name__="{name}",furnace="main",asked!="{time.time_ns()}"}}'}
        series = [json.loads(line) for line in requests.get(url, params=wanted, timeout=10).text.splitlines()]
        pairs = [pair for s in series for pair in zip(s["timestamps"], s["values"], strict=True)]
        assert len(pairs) == len(dict(pairs))
        return {at // 1000: value for at, value in pairs if at // 1000 < began + 2700}

    assert stored() == {}
    done = command(studio, "dashboards", "backfill", "lab", *around(began, -2400, 2400))
    assert done.returncode == 0, done.stderr
    filled = stored()
    assert len(filled) in {29, 30, 31}
    assert {round(value) for at, value in filled.items() if 120 < at - began < 880} == {1000}
    assert {round(value) for at, value in filled.items() if 1020 < at - began < 1780} == {1120}
    done = command(studio, "dashboards", "backfill", "lab", *around(began, -2400, 2400))
    assert done.stdout.endswith("lab: nothing was missing\n")
    assert stored() == filled


def test_a_storage_that_does_not_answer_is_told(studio: StudioHost) -> None:
    done = command(studio, "replay", "lab", "--from", "1h", "--url", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert "vmalert could not replay" in done.stderr
    assert "Traceback" not in done.stderr
