"""A hub that has had visitors of every kind, so that each of its metrics has something to say."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from hub_fcm_standin import FcmStandin
from hub_servers import enrol, real_hub
from hub_support import bearer

Publish = Callable[[str, str], None]


@contextmanager
def hub(folder: Path, port: int, broker: int) -> Iterator[httpx.Client]:
    """A hub on the broker and with a stand-in of FCM; the client is its admin."""
    folder.mkdir()
    fcm = FcmStandin(folder)
    settings = {
        "HUB_MQTT_URL": f"mqtt://hub@127.0.0.1:{broker}",
        "HUB_FCM_CREDENTIALS_FILE": str(fcm.credentials),
        "HUB_FCM_URL": fcm.url,
        "HUB_RATE_PROVISION": "100000",
    }
    try:
        with real_hub(folder, port, **settings) as client:
            yield client
    finally:
        fcm.close()


def _run(admin: httpx.Client, device: str, headers: dict[str, str], **more: Any) -> None:
    """A command, its output in two chunks, and its end."""
    made = admin.post("/admin/command", json={"device_id": device, "action": "ping", **more}).raise_for_status().json()
    for seq in range(2):
        body = {"seq": seq, "data": f"line {seq}\n" * 20}
        admin.post(f"/v1/runs/{made['request_id']}/chunks", json=body, headers=headers).raise_for_status()
    result = {"request_id": made["request_id"], "outcome": "ok"}
    admin.post("/v1/action-result", json=result, headers=headers).raise_for_status()


def _look_at_the_page(admin: httpx.Client) -> None:
    """A page that mounts, and one that comes back with an event which the hub has forgotten, so that it is reset."""
    for query in ({"mounted_s": 0.03}, {"mounted_s": 0.4, "last_id": 1}):
        with suppress(httpx.ReadTimeout), admin.stream("GET", "/live/events", params=query, timeout=1) as stream:
            for _line in stream.iter_lines():
                pass


def _wait_for_plants(admin: httpx.Client, publish: Publish) -> None:
    """One wait that a plant ends, one that its memory ends, one that ends without."""
    answers: list[httpx.Response] = []

    def wait() -> None:
        answers.append(admin.post("/provision/wait", json={"method": "ble", "timeout": 20, "device_id": "fern"}))

    waiter = threading.Thread(target=wait)
    waiter.start()
    until = time.monotonic() + 20
    while waiter.is_alive() and time.monotonic() < until:
        publish("plant/fern/state", '{"moisture": 41, "temperature": 22.5, "light": 300, "battery": 88}')
        waiter.join(0.3)
    assert [a.json()["status"] for a in answers] == ["success"]
    cached = {"method": "softap", "timeout": 5, "device_id": "fern", "require_fresh": False}
    assert admin.post("/provision/wait", json=cached).json()["status"] == "cached"
    never = {"method": "ble", "timeout": 0.2, "device_id": "no-such-plant"}
    assert admin.post("/provision/wait", json=never).json()["status"] == "timeout"


def visit(admin: httpx.Client, publish: Publish, round_: int) -> None:
    """Everything that a hub is there for, once."""
    tablet, plain = f"tablet-{round_}", f"box-{round_}"
    by_fcm = enrol(admin, tablet, fcm_token="a-token", site="hall")
    by_mqtt = enrol(admin, plain, site="yard")
    for headers in (by_fcm, by_mqtt):
        admin.post("/v1/heartbeat", json={"status": "ok", "uptime_s": round_}, headers=headers).raise_for_status()
    _run(admin, tablet, by_fcm)
    _run(admin, plain, by_mqtt)
    never = {"device_id": plain, "action": "reboot", "timeout_s": 0.2}
    admin.post("/admin/command", json=never).raise_for_status()
    failing = admin.post("/admin/command", json={"device_id": tablet, "action": "update"}).raise_for_status().json()
    result = {"request_id": failing["request_id"], "outcome": "error"}
    admin.post("/v1/action-result", json=result, headers=by_fcm).raise_for_status()
    _look_at_the_page(admin)
    admin.get("/live/view").raise_for_status()
    _wait_for_plants(admin, publish)
    key = admin.post("/admin/provision-keys", json={}).raise_for_status().json()
    asked = {"provisionDeviceKey": key["key"], "provisionDeviceSecret": key["secret"], "deviceName": f"eye-{round_}"}
    assert admin.post("/api/v1/provision", json=asked).json()["status"] == "SUCCESS"
    refused = {**asked, "provisionDeviceSecret": "wrong" * 8}
    assert admin.post("/api/v1/provision", json=refused).json()["status"] != "SUCCESS"
    admin.get("/healthz", headers=bearer("nobody"))
