"""A simulated tablet: it registers with the hub by an enrolment token and beats; after a restart it is the same one."""

import logging
import time
from pathlib import Path
from typing import Final

import requests

from hub.ids import new_token

log = logging.getLogger("simulator")
BEAT_SECONDS: Final = 10.0
TIMEOUT: Final = 10.0
ABOUT: Final = {"device_id": "tablet-1", "kind": "tablet", "alias": "Tablet at the bench"}
BEAT: Final = {"status": "ok", "battery_pct": 81, "network_type": "wifi"}


def own_token(kept: Path) -> str:
    """The tablet's own token: that of the file, or a new one, which is stored before it is used."""
    try:
        if found := kept.read_text().strip():
            return found
    except FileNotFoundError:
        pass
    made = new_token().text
    kept.touch(0o600)
    kept.write_text(made)
    return made


def beat(hub: str, enrolment: str, own: str) -> None:
    """Beat once; a tablet that the hub does not know registers first. Raises requests.RequestException."""
    headers = {"Authorization": f"Bearer {own}"}
    answer = requests.post(f"{hub}/v1/heartbeat", json=BEAT, headers=headers, timeout=TIMEOUT)
    if answer.status_code == 401:
        wanted = {**ABOUT, "token": enrolment, "device_token": own}
        requests.post(f"{hub}/v1/register", json=wanted, timeout=TIMEOUT).raise_for_status()
        answer = requests.post(f"{hub}/v1/heartbeat", json=BEAT, headers=headers, timeout=TIMEOUT)
    answer.raise_for_status()


def live(hub: str, enrolment: str, kept: Path) -> None:
    """Beat for ever; a hub that is away is tried again. `kept`: the file of the tablet's own token."""
    own = own_token(kept)
    while True:
        try:
            beat(hub, enrolment, own)
        except requests.RequestException as error:
            log.warning("tablet: %s", error)
        time.sleep(BEAT_SECONDS)
