"""`python -m lab demo`: the main job, whole - boot a host, deploy a studio on it, verify it, feed it, show it."""

import argparse
import json
import subprocess
import sys
import time
from typing import Any, Final

import requests
from rich.console import Console
from rich.table import Table

from lab import build, guest, state, studio_host
from lab.can_boot import why_not
from lab.host import LabHost
from lab.hub_demo import DemoHub, show_runs
from lab.plain import demo as plain_demo
from lab.plain import run as plain_run
from lab.run import LabError, say, step
from lab.simulator.physics import Mood
from studio.model import Studio

NAME: Final = "demo"
DATA_WAIT: Final = 60.0
PAGES: Final = {
    "VictoriaMetrics (a query)": (8428, "/api/v1/query?query=furnace_furnace_temp"),
    # Debian's vmalert has no style sheet for its own page.
    "vmalert (alerts, pending and firing)": (8880, "/api/v1/alerts"),
    "Alertmanager (firing alerts)": (9093, "/api/v2/alerts"),
    "Vector (health)": (8686, "/health"),
    "Vector (metrics)": (9598, "/metrics"),
    "node_exporter": (9100, "/metrics"),
    "hub (page; log in with the admin token)": (8080, "/"),
    "hub (its HTTP interface)": (8080, "/docs"),
    "recorded alerts (stand-in of Grafana IRM)": (9911, "/lab/records"),
}


def run(host: LabHost) -> int:
    """Bring the demo up; nothing that is up already is done again. Returns the exit code of the verification."""
    with step("the parts a host is made of"):
        build.build_all()
    with step(f"the host {host.name}"):
        host.up()
    studio = studio_host.studio_of(host)
    with step("the deploy: cd pyinfra && pyinfra @local deploy.py -y"):
        if stream(studio_host.deploy_argv(host)):
            raise LabError("the deploy failed; what it said stands above")
    with step("the simulated studio"):
        hub = DemoHub(host, studio_host.secret(host, "hub-admin-token"))
        studio_host.start_feed(host, studio, tablet=hub.enrolment_token())
        wait_for_data(host, studio)
    with step("the hub: a plant is waited for, and watered"):
        waited = hub.wait_for(studio.plants[0].id)
        watered = hub.command(studio.plants[0].id, "water")
    with step("the verification: studio verify lab"):
        verified = stream(guest.enter(host.name, ["/opt/venv/bin/studio", "verify", studio.name]))
    show(host, studio)
    show_runs(studio.plants[0].title, waited, watered)
    show_next(host, studio)
    return verified


def stream(argv: list[str]) -> int:
    """Run a command and show what it says as it says it; returns its exit code."""
    return subprocess.run(argv, check=False, stdin=subprocess.DEVNULL).returncode


def query(host: LabHost, text: str) -> list[dict[str, Any]]:
    """An instant query, answered by the host's VictoriaMetrics through the outer machine's loopback."""
    url = f"http://127.0.0.1:{host.port(8428)}/api/v1/query"
    answer = requests.get(url, params={"query": text}, timeout=5)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return found


def temperatures(host: LabHost) -> dict[str, tuple[float, float]]:
    """Newest temperature of each furnace: °C and its age in seconds."""
    values = {
        r["metric"]["furnace"]: float(r["value"][1]) for r in query(host, "last_over_time(furnace_furnace_temp[1h])")
    }
    ages = query(host, "time() - tlast_over_time(furnace_furnace_temp[1h])")
    aged = {r["metric"]["furnace"]: float(r["value"][1]) for r in ages}
    return {furnace: (value, aged[furnace]) for furnace, value in values.items() if furnace in aged}


def wait_for_data(host: LabHost, studio: Studio) -> None:
    """Return when every furnace that is on has a temperature of the last ten seconds.

    Raises:
        LabError: a minute passed.
    """
    wanted = {furnace.id for furnace in studio.furnaces if not furnace.off}
    until = time.monotonic() + DATA_WAIT
    heard: dict[str, tuple[float, float]] = {}
    while time.monotonic() < until:
        heard = temperatures(host)
        if wanted <= {furnace for furnace, (_, age) in heard.items() if age < 10}:
            return
        time.sleep(0.5)
    raise LabError(f"no fresh temperature of {', '.join(sorted(wanted - set(heard)) or sorted(wanted))} in a minute")


def show(host: LabHost, studio: Studio) -> None:
    """The tables: services, addresses, temperatures."""
    out = Console(width=None if sys.stdout.isatty() else 140)
    out.print()
    stream(guest.enter(host.name, ["/opt/venv/bin/studio", "status", studio.name], {"COLUMNS": str(out.width)}))
    pages = Table(box=None, pad_edge=False)
    pages.add_column("what")
    pages.add_column("address")
    for what, (port, path) in PAGES.items():
        pages.add_row(what, f"http://127.0.0.1:{host.port(port)}{path}")
    pages.add_row("MQTT over TLS", f"mqtts://127.0.0.1:{host.port(8883)} (accounts: studio secrets list, on the host)")
    out.print("\n[bold]Reachable from this machine[/bold]")
    out.print(pages)
    furnaces = Table(box=None, pad_edge=False)
    for heading in ("furnace", "°C", "age", "limits °C"):
        furnaces.add_column(heading)
    heard = temperatures(host)
    for furnace in studio.furnaces:
        value, age = heard.get(furnace.id, (float("nan"), float("nan")))
        limits = f"{furnace.low_celsius:.0f} to {furnace.high_celsius:.0f}"
        furnaces.add_row(furnace.title, f"{value:.1f}", f"{age:.0f} s", limits)
    out.print("\n[bold]Newest temperatures, as VictoriaMetrics answers[/bold]")
    out.print(furnaces)


def show_next(host: LabHost, studio: Studio) -> None:
    """What to do next."""
    words = {"lab": ".venv/bin/python -m lab", "name": host.name, "first": studio.furnaces[0].id}
    lines = [(what.format(**words), why) for what, why in NEXT]
    width = max(len(what) for what, why in lines if why)
    for what, why in lines:
        print(f"  {what:<{width}}  {why}" if why else f"\n{what}", flush=True)


NEXT = (
    ("Look around", ""),
    ("{lab} shell {name}", "a root shell on the host; try: studio status, hostctl status"),
    ("{lab} exec {name} -- journalctl -f", "what all parts say"),
    ("{lab} exec {name} -- hostctl secrets show hub-admin-token", "logs in to the hub's page"),
    ("Break it", ""),
    ("{lab} demo --trouble {first}=flame-out", "it cools; the artist is told (recorded alerts)"),
    ("{lab} demo --well", "all furnaces are well again"),
    ("{lab} exec {name} -- pkill -9 vmalert", "systemd brings it back"),
    ("{lab} reboot {name}", "everything comes back by itself"),
    ("Stop it", ""),
    ("make demo-down", "every trace of it goes"),
)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m lab demo", description=__doc__)
    top.add_argument("--down", action="store_true", help="stop the demo and remove every trace of it")
    top.add_argument("--json", action="store_true", help="only tell where the running demo is, for programs")
    moods = ", ".join(mood.value for mood in Mood if mood is not Mood.NORMAL)
    top.add_argument("--trouble", action="append", metavar="FURNACE=MOOD", help=f"give a furnace a trouble: {moods}")
    top.add_argument("--well", action="store_true", help="all furnaces are well again")
    return top


def trouble(host: LabHost, wishes: list[str]) -> None:
    """Give furnaces troubles, FURNACE=MOOD each.

    Raises:
        LabError: there is no such furnace or mood.
    """
    known = {furnace.id for furnace in studio_host.studio_of(host).furnaces}
    moods: dict[str, Mood] = {}
    for wish in wishes:
        furnace, _, mood = wish.partition("=")
        if furnace not in known:
            raise LabError(f"there is no furnace {furnace!r}; these are: {', '.join(sorted(known))}")
        if mood not in {m.value for m in Mood}:
            raise LabError(f"no furnace can be {mood!r}; try one of {', '.join(m.value for m in Mood)}")
        moods[furnace] = Mood(mood)
    studio_host.set_moods(host, moods)


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; returns the exit code."""
    args = parser().parse_args(argv)
    host = LabHost(NAME)
    try:
        if args.down:
            plain_run.down()
            if state.folder(NAME).exists():
                host.down()
        elif (args.json or args.trouble or args.well) and state.load(NAME) is None:
            raise LabError("there is no demo's host; make it: studio demo")
        elif args.json:
            print(json.dumps({"name": NAME, "address": host.address, "ports": host.info.ports}))
        elif args.trouble or args.well:
            trouble(host, args.trouble or [])
        elif reason := why_not():
            say(f"no host can be booted here: {reason}")
            say("the same parts run as plain processes instead, without systemd, containers, HiveMQ, TLS and the hub")
            return plain_demo.main()
        else:
            return run(host)
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
