"""Who is told what, and when: from a furnace's messages to the webhooks of Grafana IRM (a recorder stands in for it).

One story (alerts_story.py) is played once, with the product's own windows and delays, and every test asks what was told
in it.
"""

import re
from itertools import pairwise

import pytest
import requests
from alerts_seen import OF_THE_HOST
from alerts_story import BEAT, COLD, Story, played
from deploy_support import StudioHost

from studio.paths import ROOT

pytestmark = pytest.mark.lab
# What a page has typed on a desk, on a camera or on another machine.
ELSEWHERE = {"studio", "studio-agent", "ssh"}


def programs(page: str) -> set[str]:
    """What a page says to type on the host: the first word of each command and of each part of a pipe."""
    blocks = re.findall(r"^    +(.+)$", page, re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^    +.+$", "", page, flags=re.MULTILINE))
    typed = [*blocks, *(span for span in spans if " " in span and not re.match(r"[\w-]+: ", span))]
    bare = [re.sub(r"'[^']*'|\"[^\"]*\"| #.*|  .*", "", command) for command in typed]
    parts = [part for command in bare for part in re.split("[|;]", command)]
    words = [re.sub(r"^\s*(sudo )?", "", part).split() for part in parts]
    return {found[0] for found in words if found and re.fullmatch(r"[a-z][a-z0-9-]+", found[0])} - ELSEWHERE


def test_every_program_of_the_runbook_is_on_the_host(studio: StudioHost) -> None:
    pages = [*(ROOT / "docs/runbook").iterdir(), ROOT / "docs/runbook.md"]
    found = {program: page.name for page in pages for program in programs(page.read_text())}
    assert {"hostctl", "journalctl", "systemd-run", "curl", "grep", "systemctl"} <= set(found)
    missing = [p for p in sorted(found) if studio.host.exec(f"command -v {p}", check=False).returncode]
    assert {program: found[program] for program in missing} == {}


def test_what_a_page_has_typed_silences_its_alert(studio: StudioHost) -> None:
    """The command of one page, as it stands there; the others differ in the alert's name."""
    page = (ROOT / "docs/runbook/PlantNoData.md").read_text()
    command = page.split("## How to silence\n")[1].split("\n\n")[1].strip()
    made = studio.host.exec(["bash", "-c", command]).stdout.strip()
    url = f"http://127.0.0.1:{studio.host.port(9093)}/api/v2"
    silence = requests.get(f"{url}/silence/{made}", timeout=10).json()
    assert [(m["name"], m["value"]) for m in silence["matchers"]] == [("alertname", "PlantNoData")]
    assert silence["status"]["state"] == "active"
    requests.delete(f"{url}/silence/{made}", timeout=10).raise_for_status()


@pytest.fixture(scope="module")
def story(studio: StudioHost) -> Story:
    """Played once."""
    return played(studio)


def test_a_first_deploy_and_a_start_tell_nobody_of_what_was_still_coming_up(story: Story) -> None:
    """The host was deployed, switched off, and started again before the story began."""
    before = {t.name for t in story.told if t.began < story.at["good"] and t.receiver != "heartbeat"}
    # The furnaces are fed from then on only, which is told after a quarter of an hour.
    assert before - OF_THE_HOST <= {"FurnaceNoDataExpected"}


def test_good_data_are_silent(story: Story) -> None:
    """And present: see the means that `good_data` waits for."""
    ignored = {"Watchdog"} | OF_THE_HOST
    began = [t for t in story.told if story.at["good"] <= t.began <= story.at["end of good"]]
    assert [t for t in began if t.name not in ignored] == []


def test_the_heartbeat_comes_every_minute(story: Story) -> None:
    beats = story.beats("good", "webhooks fail")
    assert len(beats) >= 2
    gaps = [later - earlier for earlier, later in pairwise(beats)]
    assert max(gaps) < BEAT
    assert min(gaps) > 25
    assert {t.name for t in story.told if t.receiver == "heartbeat"} == {"Watchdog"}


def test_a_cold_furnace_is_told_to_the_shop_and_not_to_support(story: Story) -> None:
    (first, *_) = story.find("FurnaceTempLow", "firing")
    assert first.receiver == "shop"
    assert first.received - story.at["cold"] < 180
    assert (first.labels["studio"], first.labels["furnace"], first.labels["type"]) == ("lab", "main", "shop")
    said = re.fullmatch(
        r"Main furnace is at (\d+) °C on average over 5 minutes; its limit is 1050 °C\.", first.description
    )
    assert said
    assert COLD < int(said[1]) < 1050
    assert story.find("FurnaceTempLow", "firing", "system") == []


def test_it_resolves_and_the_shop_is_told_that_too(story: Story) -> None:
    (resolved, *_) = story.find("FurnaceTempLow", "resolved")
    assert resolved.receiver == "shop"
    assert story.at["well"] < resolved.received < story.at["vmalert stopped"]
    assert story.find("FurnaceTempLow", "resolved", "system") == []


def test_the_other_furnace_is_nobodys_trouble(story: Story) -> None:
    about = [t for t in story.told if t.began >= story.at["good"] and t.labels.get("furnace") == "glory-hole"]
    assert {t.name for t in about} <= {"FurnaceNoData"}  # while Vector is stopped


def test_vector_that_is_down_is_told_to_support_and_not_to_the_shop(story: Story) -> None:
    (first, *_) = story.find("VectorDown", "firing")
    assert first.receiver == "system"
    assert first.labels["type"] == "system"
    assert first.received - story.at["Vector stopped"] < 180
    assert {t.receiver for t in story.told if t.name == "VectorDown"} == {"system"}


def test_each_receiver_gets_its_own_type_alone(story: Story) -> None:
    assert {t.labels["type"] for t in story.told if t.receiver == "shop"} == {"shop"}
    assert {t.labels["type"] for t in story.told if t.receiver == "system"} == {"system"}


def test_what_could_not_be_delivered_is_delivered_later(story: Story) -> None:
    """The alert was due while the webhooks answered 503."""
    (first, *_) = story.find("FurnaceTempLow", "firing")
    assert story.failed_attempts >= 1
    assert story.at["webhooks answer"] - 1 <= first.received < story.at["webhooks answer"] + 60


def test_without_vmalert_the_heartbeat_stops_and_with_it_it_comes_again(story: Story) -> None:
    assert story.beats("well", "vmalert stopped")
    assert story.beats("watchdog forgotten", "vmalert started") == []
    assert story.beats("vmalert started", "end")
