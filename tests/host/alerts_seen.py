"""What vmalert, VictoriaMetrics and Alertmanager of a deployed studio say at this moment."""

import time
from datetime import datetime
from typing import Any

import requests
from deploy_support import StudioHost

# What is told of a host that was just started, and of the machine that the lab host shares with others.
OF_THE_HOST = {"ServiceRestarted", "HostRestarted", "HostBusy", "HostMemoryLow", "HostHot", "DiskAlmostFull"}


def ask(studio: StudioHost, port: int, path: str, **params: str) -> Any:
    answer = requests.get(f"http://127.0.0.1:{studio.host.port(port)}{path}", params=params, timeout=15)
    answer.raise_for_status()
    return answer.json()["data"]


def alerts(studio: StudioHost, state: str) -> set[str]:
    """The names of the alerts that vmalert has in a state (pending, firing), the watchdog and the host left out."""
    found = ask(studio, 8880, "/api/v1/alerts")["alerts"]
    return {alert["name"] for alert in found if alert["state"] == state} - {"Watchdog"} - OF_THE_HOST


def pending_since(studio: StudioHost, name: str) -> float:
    """When the condition of a pending alert began to hold (epoch seconds); now, when it is not pending."""
    found = ask(studio, 8880, "/api/v1/alerts")["alerts"]
    since = [a["activeAt"] for a in found if (a["name"], a["state"]) == (name, "pending")]
    return datetime.fromisoformat(since[0][:19] + "+00:00").timestamp() if since else time.time()


def mean(studio: StudioHost) -> float:
    """The main furnace's mean of five minutes, °C."""
    query = 'avg_over_time(furnace_furnace_temp{furnace="main"}[5m])'
    found = ask(studio, 8428, "/api/v1/query", query=query, nocache="1")["result"]
    return float(found[0]["value"][1]) if found else float("nan")


def failed_attempts(studio: StudioHost) -> float:
    """How often Alertmanager tried to deliver in vain, by its own count."""
    page = requests.get(f"http://127.0.0.1:{studio.host.port(9093)}/metrics", timeout=10).text
    lines = [line for line in page.splitlines() if line.startswith("alertmanager_notification_requests_failed_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
