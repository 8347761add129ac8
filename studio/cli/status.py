"""studio status: what runs on the host, how warm the furnaces are, what alerts are firing."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from studio.cli import chosen
from studio.cli.outcome import Exit, Stop
from studio.host import hostctl_json, run
from studio.model import Studio

LOOK_BACK: Final = "30d"
GOOD: Final = {"active", "healthy"}
DEADLINE_SECONDS: Final = 20.0


def urls(studio: Studio) -> dict[str, str]:
    """What is asked on the host's loopback, by what it answers."""
    ports = studio.ports
    query = f'tlast_over_time(furnace_furnace_temp{{studio="{studio.name}"}}[{LOOK_BACK}])'
    base = f"http://127.0.0.1:{ports.victoriametrics}/api/v1/query?"
    value = f'last_over_time(furnace_furnace_temp{{studio="{studio.name}"}}[{LOOK_BACK}])'
    return {
        "times": base + urlencode({"query": query, "latency_offset": "1ms"}),
        "values": base + urlencode({"query": value, "latency_offset": "1ms"}),
        "alerts": f"http://127.0.0.1:{ports.alertmanager}/api/v2/alerts?active=true&silenced=false&inhibited=false",
    }


ASK: Final = """
import json, sys, time, urllib.request
told = {"now": time.time()}
for name, url in json.load(sys.stdin).items():
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            told[name] = json.load(answer)
    except (OSError, ValueError) as error:
        told[name] = {"error": str(error)}
json.dump(told, sys.stdout)
"""


def asked(studio: Studio) -> dict[str, Any]:
    """The answers of the host's VictoriaMetrics and Alertmanager, in one round trip, and the host's clock."""
    question = json.dumps(urls(studio)).encode()
    answer = run(studio, ["python3", "-I", "-c", ASK], stdin=question, timeout=DEADLINE_SECONDS)
    try:
        told = dict(json.loads(answer.out))
    except ValueError:
        why = {"error": "the question could not be asked on the host"}
        return {"now": time.time(), **dict.fromkeys(urls(studio), why)}
    heard = told.get("alerts")
    if not isinstance(heard, list) and not (isinstance(heard, dict) and "error" in heard):
        told["alerts"] = {"error": "Alertmanager's answer is no list of alerts"}
    return told


def furnaces(studio: Studio, told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each furnace with its newest temperature (°C) and how old it is (seconds); None when there is none."""
    newest = _newest(told)
    found = []
    for furnace in studio.furnaces:
        celsius, at = newest.get(furnace.id, (None, None))
        age = None if at is None else max(0.0, told["now"] - at)
        found.append(
            {
                "id": furnace.id,
                "label": furnace.title,
                "celsius": celsius,
                "age_seconds": age,
                "low_celsius": furnace.low_celsius,
                "high_celsius": furnace.high_celsius,
                "off": furnace.off,
                "late": not furnace.off and (age is None or age > furnace.no_data_minutes * 60),
            }
        )
    return found


def _newest(told: Mapping[str, Any]) -> dict[str, tuple[float | None, float | None]]:
    """Each furnace's newest temperature and its time; a furnace has one series for each name that it ever had."""
    values, times = _by_series(told.get("values")), _by_series(told.get("times"))
    oldest_first = sorted({**values, **times}, key=lambda series: times.get(series, 0.0))
    return {dict(series).get("furnace", ""): (values.get(series), times.get(series)) for series in oldest_first}


def _by_series(answer: Any) -> dict[tuple[tuple[str, str], ...], float]:
    """The value of each row, by the row's labels."""
    result = answer.get("data", {}).get("result", []) if isinstance(answer, dict) else []
    return {
        tuple(sorted((k, v) for k, v in row["metric"].items() if k != "__name__")): float(row["value"][1])
        for row in result
    }


def alerts(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The firing alerts but the watchdog, which always fires."""
    found = told.get("alerts")
    listed = found if isinstance(found, list) else []
    return [
        {
            "name": a["labels"].get("alertname"),
            "type": a["labels"].get("type"),
            "furnace": a["labels"].get("furnace"),
            "since": a["startsAt"],
            "summary": a["annotations"].get("summary", ""),
        }
        for a in listed
        if a["labels"].get("alertname") != "Watchdog"
    ]


def report(studio: Studio) -> dict[str, Any]:
    """Everything that the status tells, as JSON values."""
    host = hostctl_json(studio, "status", "--json")
    told = asked(studio)
    errors = {name: found["error"] for name, found in told.items() if isinstance(found, dict) and "error" in found}
    return {
        **host,
        "now": told["now"],
        "warnings": [*host["warnings"], *studio.alerts.warnings()],
        "furnaces": furnaces(studio, told),
        "alerts": alerts(told),
        "unanswered": errors,
        "healthy": all(c["state"] in GOOD and c["health"] in GOOD for c in host["components"]),
    }


def age(seconds: float | None) -> str:
    """A time span as people say it: `12 s`, `3 min`, `5 h`, `2 d`."""
    if seconds is None:
        return "never"
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def _state(word: str) -> str:
    return f"[green]{word}[/green]" if word in GOOD else f"[red]{word}[/red]"


def _services(components: Sequence[Mapping[str, Any]], now: float) -> Table:
    table = Table(
        "service", "state", "health", "version", "memory", "up for", "restarts", box=None, header_style="bold"
    )
    for c in components:
        memory = f"{c['memory_bytes'] / 2**20:.0f} MB" if c["memory_bytes"] else "-"
        parts = ["stand-in"] if c["stand_in"] else [f"{part}: stand-in" for part in c.get("stand_in_parts", [])]
        version = escape(c["version"] or "-") + "".join(f" [yellow]({part})[/yellow]" for part in parts)
        up = age(now - float(c["since"])) if c["since"] and c["state"] == "active" else "-"
        table.add_row(c["name"], _state(c["state"]), _state(c["health"]), version, memory, up, str(c["restarts"]))
    return table


def _furnaces(found: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("furnace", "newest", "age", "limits", box=None, header_style="bold")
    for f in found:
        value = "-" if f["celsius"] is None else f"{f['celsius']:.1f} °C"
        late = "[red]" if f["late"] else ""
        note = " (off)" if f["off"] else ""
        limits = f"{f['low_celsius']:.0f} to {f['high_celsius']:.0f} °C"
        table.add_row(escape(f["label"]) + note, value, f"{late}{age(f['age_seconds'])}", limits)
    return table


def show(console: Console, told: Mapping[str, Any]) -> None:
    """The status for people."""
    console.print(_services(told["components"], told["now"]))
    console.print()
    console.print(_furnaces(told["furnaces"]))
    console.print()
    for name, error in told["unanswered"].items():
        console.print(f"[red]no answer about {name}: {escape(error)}[/red]")
    for alert in told["alerts"]:
        console.print(f"[red]firing[/red] {alert['name']} ({alert['type']}): {escape(alert['summary'])}")
    if not told["alerts"] and "alerts" not in told["unanswered"]:
        console.print("no alert is firing")
    kept = [f"{g['id']}{' (in use)' if g['current'] else ''}" for g in reversed(told["generations"])]
    console.print(f"generations: {', '.join(kept)}")
    for step, reasons in told["out_of_date"].items():
        console.print(f"[yellow]out of date[/yellow] {step}: {escape('; '.join(reasons))}")
    if refused := (told.get("provisioned") or {}).get("refused"):
        console.print(f"[red]refused[/red] accounts that the hub added: {escape(refused)}")
    for warning in [*told["problems"], *told["warnings"]]:
        console.print(f"[yellow]warning[/yellow] {escape(warning)}")


def status(name: str | None, *, as_json: bool) -> None:
    """Tell the status; exit code 1 when a service is not as it should be."""
    told = report(chosen.studio(name))
    print(json.dumps(told, indent=2)) if as_json else show(chosen.console(), told)
    if not told["healthy"]:
        raise Stop(Exit.FAILED)
